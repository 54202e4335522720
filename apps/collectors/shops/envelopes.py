"""Messages of AWS out of what carries them: SQS answers and Lambda records, SNS notifications, EventBridge events. Pure.

They nest (an SQS body may hold an SNS notification that holds the message); every level is looked into, up to a depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.shops.reading import Reader, text
from apps.flows.canonical import ParseFailure, ParseIssue

#: levels of wrapping
DEPTH = 6
_LISTS = ("Messages", "messages", "Records", "records")
_TEXTS = ("Body", "body")


def unwrap(r: Reader, value: Any, at: str = "$", depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """The messages inside, with their places; what cannot be read of them becomes an issue."""
    if depth > DEPTH:
        r.error("too_wrapped", f"The message is wrapped more than {DEPTH} times.", at)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from unwrap(r, one, f"{at}[{index}]", depth + 1)
    elif not isinstance(value, dict):
        r.error("not_an_object", "A message must be a JSON object.", at, value)
    else:
        yield from _inside(r, value, at, depth)


def _inside(r: Reader, value: dict[str, Any], at: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in _LISTS:
        if isinstance(value.get(name), list):
            if not value[name]:
                r.warn("empty", "The batch holds no message.", f"{at}.{name}")
            for index, one in enumerate(value[name]):
                yield from unwrap(r, one, f"{at}.{name}[{index}]", depth + 1)
            return
    if text(value.get("Type")) in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        sentence = (
            "Amazon SNS asks to confirm a subscription. The tower calls no addresses it is sent: if the subscription is "
            "yours, open the SubscribeURL of this message once."
        )
        r.error("subscription_unconfirmed", sentence, f"{at}.SubscribeURL", value.get("SubscribeURL", ""))
    elif text(value.get("Type")) == "Notification" and "Message" in value:
        yield from _written(r, value["Message"], f"{at}.Message", depth)
    elif isinstance(value.get("Sns"), dict):
        yield from unwrap(r, value["Sns"], f"{at}.Sns", depth + 1)
    elif "Message" in value and "TopicArn" in value:
        yield from _written(r, value["Message"], f"{at}.Message", depth)
    elif "detail-type" in value and isinstance(value.get("detail"), dict):
        detail = value["detail"]
        if "NotificationType" not in detail and "notificationType" not in detail and "eventType" not in detail:
            detail = {"NotificationType": value["detail-type"], "EventTime": value.get("time"), **detail}
        yield f"{at}.detail", detail
    elif any(name in value for name in _TEXTS) and ({"MessageId", "messageId", "ReceiptHandle"} & set(value)):
        name = next(name for name in _TEXTS if name in value)
        yield from _written(r, value[name], f"{at}.{name}", depth)
    else:
        yield at, value


def _written(r: Reader, value: Any, at: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A message inside a text."""
    if not isinstance(value, str):
        yield from unwrap(r, value, at, depth + 1)
        return
    try:
        document = jsonbody.read(value.encode("utf-8", "surrogatepass"))
    except ParseFailure as failure:
        issue = failure.issue
        place = f"{at}, {issue.position}" if issue.position else at
        r.issues.append(ParseIssue(issue.code, issue.sentence, place, issue.fragment))
        return
    r.issues += document.warnings
    yield from unwrap(r, document.value, at, depth + 1)
