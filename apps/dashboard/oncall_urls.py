"""The addresses of on call, escalation, maintenance and handover; part of apps.dashboard.urls."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import escalations, handover, maintenance, oncall, policy_editor, schedule_editor, swap_link
from apps.oncall.links import SWAP_ROUTE

urlpatterns = [
    path("on-call/", oncall.on_call_now, name="on_call"),
    path("on-call/my-calendar/", oncall.my_feed, name="on_call_my_feed"),
    path("on-call/my-calendar/renew/", oncall.renew_my_feed, name="on_call_my_feed_renew"),
    path("on-call/feed/person/<int:pk>/<str:token>.ics", oncall.person_feed, name="on_call_person_feed"),
    path("on-call/feed/<slug:slug>/<str:token>.ics", oncall.feed, name="on_call_feed"),
    path(SWAP_ROUTE, swap_link.swap_link, name="swap_link"),
    path("on-call/s/<slug:slug>/", oncall.schedule, name="on_call_schedule"),
    path("on-call/s/<slug:slug>/edit/", schedule_editor.edit, name="schedule_edit"),
    path("on-call/s/<slug:slug>/edit/draft/", schedule_editor.draft, name="schedule_draft"),
    path("on-call/s/<slug:slug>/edit/preview/", schedule_editor.preview, name="schedule_preview"),
    path("on-call/s/<slug:slug>/edit/save/", schedule_editor.save, name="schedule_save"),
    path("on-call/s/<slug:slug>/edit/go-back/", schedule_editor.go_back, name="schedule_go_back"),
    path("on-call/s/<slug:slug>/edit/remove/", schedule_editor.remove, name="schedule_remove"),
    path("on-call/s/<slug:slug>/overrides/", oncall.add_override, name="on_call_override_add"),
    path("on-call/s/<slug:slug>/overrides/<int:pk>/remove/", oncall.remove_override, name="on_call_override_remove"),
    path("on-call/s/<slug:slug>/swaps/", oncall.ask_swap, name="on_call_swap_ask"),
    path("on-call/s/<slug:slug>/swaps/<int:pk>/answer/", oncall.answer_swap, name="on_call_swap_answer"),
    path("on-call/s/<slug:slug>/swaps/<int:pk>/withdraw/", oncall.withdraw_swap, name="on_call_swap_withdraw"),
    path("on-call/s/<slug:slug>/import/", oncall.import_calendar, name="on_call_import"),
    path("on-call/s/<slug:slug>/renew/", oncall.renew_feed, name="on_call_feed_renew"),
    path("on-call/s/<slug:slug>/handover/", handover.handover, name="handover"),
    path("on-call/s/<slug:slug>/handover/notes/", handover.note, name="handover_note"),
    path("on-call/s/<slug:slug>/handover/notes/<int:pk>/drop/", handover.drop_note, name="handover_note_drop"),
    path("on-call/s/<slug:slug>/handover/mail/", handover.mail, name="handover_mail"),
    path("escalation/", escalations.escalations, name="escalations"),
    path("escalation/remind-me/", escalations.remind_me, name="escalation_remind_me"),
    path("escalation/add/", policy_editor.policy_add, name="escalation_add"),
    path("escalation/lines/", escalations.route_add, name="escalation_route_add"),
    path("escalation/lines/<int:pk>/", escalations.route_change, name="escalation_route_change"),
    path("escalation/p/<slug:slug>/", policy_editor.policy_edit, name="escalation_edit"),
    path("escalation/p/<slug:slug>/go-back/", policy_editor.policy_go_back, name="escalation_go_back"),
    path("escalation/p/<slug:slug>/remove/", policy_editor.policy_remove, name="escalation_remove"),
    path("maintenance/", maintenance.maintenance, name="maintenance"),
    path("maintenance/plan/", maintenance.plan, name="maintenance_plan"),
    path("maintenance/<int:pk>/", maintenance.edit, name="maintenance_edit"),
    path("maintenance/<int:pk>/cancel/", maintenance.cancel, name="maintenance_cancel"),
    path("maintenance/<int:pk>/restore/", maintenance.restore, name="maintenance_restore"),
]
