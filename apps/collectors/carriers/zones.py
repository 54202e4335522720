"""Which clock hangs on the wall where a parcel was scanned? Country (and state) to IANA zone, as data. Pure.

For times a carrier writes without an offset. Only places with one clock are here; elsewhere (Russia, Indonesia, Brazil
without its state ...) the integration's own zone is assumed. Either way the event says that it was assumed.
Sources: ISO 3166-1 codes; zone.tab of the IANA time zone database.
"""

from __future__ import annotations

from apps.collectors.carriers.model import Place

#: ISO 3166-1 alpha-2, alpha-3, zone of the whole country (of its mainland)
_COUNTRIES = """
AE ARE Asia/Dubai|AR ARG America/Argentina/Buenos_Aires|AT AUT Europe/Vienna|BD BGD Asia/Dhaka|BE BEL Europe/Brussels
BG BGR Europe/Sofia|BH BHR Asia/Bahrain|BY BLR Europe/Minsk|CH CHE Europe/Zurich|CL CHL America/Santiago
CN CHN Asia/Shanghai|CO COL America/Bogota|CR CRI America/Costa_Rica|CY CYP Asia/Nicosia|CZ CZE Europe/Prague
DE DEU Europe/Berlin|DK DNK Europe/Copenhagen|DO DOM America/Santo_Domingo|DZ DZA Africa/Algiers
EC ECU America/Guayaquil|EE EST Europe/Tallinn|EG EGY Africa/Cairo|ES ESP Europe/Madrid|ET ETH Africa/Addis_Ababa
FI FIN Europe/Helsinki|FR FRA Europe/Paris|GB GBR Europe/London|GH GHA Africa/Accra|GR GRC Europe/Athens
GT GTM America/Guatemala|HK HKG Asia/Hong_Kong|HN HND America/Tegucigalpa|HR HRV Europe/Zagreb|HU HUN Europe/Budapest
IE IRL Europe/Dublin|IL ISR Asia/Jerusalem|IN IND Asia/Kolkata|IS ISL Atlantic/Reykjavik|IT ITA Europe/Rome
JM JAM America/Jamaica|JO JOR Asia/Amman|JP JPN Asia/Tokyo|KE KEN Africa/Nairobi|KH KHM Asia/Phnom_Penh
KR KOR Asia/Seoul|KW KWT Asia/Kuwait|KZ KAZ Asia/Almaty|LB LBN Asia/Beirut|LI LIE Europe/Vaduz|LK LKA Asia/Colombo
LT LTU Europe/Vilnius|LU LUX Europe/Luxembourg|LV LVA Europe/Riga|MA MAR Africa/Casablanca|MC MCO Europe/Monaco
MD MDA Europe/Chisinau|MO MAC Asia/Macau|MT MLT Europe/Malta|MX MEX America/Mexico_City|MY MYS Asia/Kuala_Lumpur
NG NGA Africa/Lagos|NL NLD Europe/Amsterdam|NO NOR Europe/Oslo|NZ NZL Pacific/Auckland|OM OMN Asia/Muscat
PA PAN America/Panama|PE PER America/Lima|PH PHL Asia/Manila|PK PAK Asia/Karachi|PL POL Europe/Warsaw
PR PRI America/Puerto_Rico|PT PRT Europe/Lisbon|PY PRY America/Asuncion|QA QAT Asia/Qatar|RO ROU Europe/Bucharest
RS SRB Europe/Belgrade|SA SAU Asia/Riyadh|SE SWE Europe/Stockholm|SG SGP Asia/Singapore|SI SVN Europe/Ljubljana
SK SVK Europe/Bratislava|SV SLV America/El_Salvador|TH THA Asia/Bangkok|TN TUN Africa/Tunis|TR TUR Europe/Istanbul
TW TWN Asia/Taipei|UA UKR Europe/Kyiv|UY URY America/Montevideo|UZ UZB Asia/Tashkent|VE VEN America/Caracas
VN VNM Asia/Ho_Chi_Minh|ZA ZAF Africa/Johannesburg
"""

#: states and provinces by their postal abbreviation; a state on two clocks has that of most of its people
_STATES = {
    "US": {
        "America/New_York": "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV",
        "America/Chicago": "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
        "America/Denver": "CO ID MT NM UT WY",
        "America/Phoenix": "AZ",
        "America/Los_Angeles": "CA NV OR WA",
        "America/Anchorage": "AK",
        "Pacific/Honolulu": "HI",
        "America/Puerto_Rico": "PR VI",
    },
    "CA": {
        "America/Toronto": "ON QC",
        "America/Halifax": "NB NS PE",
        "America/St_Johns": "NL",
        "America/Winnipeg": "MB",
        "America/Regina": "SK",
        "America/Edmonton": "AB NT",
        "America/Vancouver": "BC",
        "America/Whitehorse": "YT",
    },
    "AU": {
        "Australia/Sydney": "ACT NSW",
        "Australia/Melbourne": "VIC",
        "Australia/Brisbane": "QLD",
        "Australia/Adelaide": "SA",
        "Australia/Darwin": "NT",
        "Australia/Perth": "WA",
        "Australia/Hobart": "TAS",
    },
    "BR": {"America/Sao_Paulo": "BA CE DF ES GO MA MG PA PE PR RJ RN RS SC SP"},
}

_ROWS = [entry.split() for entry in _COUNTRIES.replace("\n", "|").split("|") if entry]
_ZONES = {name: zone for two, three, zone in _ROWS for name in (two, three)}
_ALPHA_2 = {"USA": "US", "CAN": "CA", "AUS": "AU", "BRA": "BR"}
_STATE_ZONES = {
    (country, state): zone
    for country, zones in _STATES.items()
    for zone, states in zones.items()
    for state in states.split()
}


def zone_of_place(place: Place) -> str:
    """The IANA zone of a place by its country code (2 or 3 letters) and state, or '' where that does not tell."""
    country = place.country.strip().upper()
    if country in _ZONES:
        return _ZONES[country]
    return _STATE_ZONES.get((_ALPHA_2.get(country, country), place.state.strip().upper()), "")
