"""The formats of strings that are honoured, as regular expressions; each allows only what the format does.

Times and dates: RFC 3339, section 5.6, of the years 1000 to 9999, with the days that the months have. Durations: the
same, appendix A. Addresses: RFC 5321 without quoted names, RFC 1123, RFC 2673, RFC 4291. URIs: RFC 3986 with a host.
"""

_DAYS_30 = r"(0[469]|11)-(0[1-9]|[12][0-9]|30)"
_DAYS_31 = r"(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
_LEAP = r"([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)"
_DATE = rf"([1-9][0-9]{{3}}-({_DAYS_30}|{_DAYS_31}|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
_HOUR_MINUTE = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR_MINUTE}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOUR_MINUTE})"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,3}}"
_NAME = r"[A-Za-z0-9]+(-+[A-Za-z0-9]+)*"  # a label, however long, which takes two states instead of 62
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_SIX = "[0-9A-Fa-f]{1,4}"
_CLOCK = r"T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)"
_CALENDAR = r"([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)"
_ADDRESS = r"[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}"

PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "duration": f"^P({_CALENDAR}({_CLOCK})?|{_CLOCK}|[0-9]+W)$",
    "uuid": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    "email": rf"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@{_NAME}(\.{_NAME}){{1,3}}$",
    "hostname": f"^{_HOST}$",
    "ipv4": rf"^{_BYTE}(\.{_BYTE}){{3}}$",
    "ipv6": f"^({_SIX}(:{_SIX}){{7}}|({_SIX}(:{_SIX}){{0,5}})?::({_SIX})?)$",
    "uri": rf"^[A-Za-z][A-Za-z0-9+.-]*://{_NAME}(\.{_NAME})*(:[0-9]{{1,5}})?(/({_ADDRESS})*)*(\?({_ADDRESS}|[/?])*)?(#({_ADDRESS}|[/?])*)?$",
}
