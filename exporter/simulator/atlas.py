"""The places of the simulated network.

Cities and longitudes are real, the network is not. Country codes are the platform's, which
are not all ISO: the United Kingdom is `UK`.
"""

from typing import NamedTuple


class Pop(NamedTuple):
    """A point of presence."""

    code: str
    """The first group of its servers' names, and the key of the usage endpoint."""
    city: str
    country: str
    longitude: float
    """Degrees east; decides when its evening is."""
    weight: int
    """Its share of the fleet, relative to the other POPs'."""


POPS = (
    Pop("acc", "Accra", "GH", -0.2, 1),
    Pop("akl", "Auckland", "NZ", 174.8, 2),
    Pop("ams", "Amsterdam", "NL", 4.9, 13),
    Pop("ath", "Athens", "GR", 23.7, 2),
    Pop("atl", "Atlanta", "US", -84.4, 11),
    Pop("bcn", "Barcelona", "ES", 2.2, 3),
    Pop("beg", "Beograd", "RS", 20.5, 2),
    Pop("ber", "Berlin", "DE", 13.4, 5),
    Pop("bkk", "Bangkok", "TH", 100.5, 2),
    Pop("bne", "Brisbane", "AU", 153.0, 3),
    Pop("bog", "Bogotá", "CO", -74.1, 2),
    Pop("bom", "Mumbai", "IN", 72.9, 4),
    Pop("bru", "Brussels", "BE", 4.4, 4),
    Pop("bud", "Budapest", "HU", 19.0, 3),
    Pop("bue", "Buenos Aires", "AR", -58.4, 3),
    Pop("buh", "București", "RO", 26.1, 4),
    Pop("cai", "Cairo", "EG", 31.2, 1),
    Pop("chi", "Chicago", "US", -87.6, 12),
    Pop("cmn", "Casablanca", "MA", -7.6, 1),
    Pop("cph", "København", "DK", 12.6, 5),
    Pop("dal", "Dallas", "US", -96.8, 11),
    Pop("den", "Denver", "US", -105.0, 6),
    Pop("dub", "Dublin", "IE", -6.3, 5),
    Pop("dxb", "Dubai", "AE", 55.3, 3),
    Pop("fra", "Frankfurt am Main", "DE", 8.7, 13),
    Pop("gla", "Glasgow", "UK", -4.3, 2),
    Pop("got", "Göteborg", "SE", 12.0, 2),
    Pop("gva", "Genève", "CH", 6.1, 3),
    Pop("hel", "Helsinki", "FI", 24.9, 4),
    Pop("hkg", "Hong Kong", "HK", 114.2, 6),
    Pop("hou", "Houston", "US", -95.4, 4),
    Pop("iad", "Ashburn", "US", -77.5, 12),
    Pop("ist", "İstanbul", "TR", 29.0, 3),
    Pop("jkt", "Jakarta", "ID", 106.8, 2),
    Pop("jnb", "Johannesburg", "ZA", 28.0, 3),
    Pop("kbp", "Kyiv", "UA", 30.5, 3),
    Pop("kiv", "Chișinău", "MD", 28.8, 1),
    Pop("krk", "Kraków", "PL", 19.9, 2),
    Pop("kul", "Kuala Lumpur", "MY", 101.7, 3),
    Pop("las", "Las Vegas", "US", -115.1, 4),
    Pop("lax", "Los Angeles", "US", -118.2, 14),
    Pop("lim", "Lima", "PE", -77.0, 1),
    Pop("lis", "Lisboa", "PT", -9.1, 3),
    Pop("lon", "London", "UK", -0.1, 14),
    Pop("los", "Lagos", "NG", 3.4, 1),
    Pop("lux", "Luxembourg", "LU", 6.1, 2),
    Pop("mad", "Madrid", "ES", -3.7, 5),
    Pop("man", "Manchester", "UK", -2.2, 5),
    Pop("mel", "Melbourne", "AU", 145.0, 5),
    Pop("mex", "Ciudad de México", "MX", -99.1, 4),
    Pop("mia", "Miami", "US", -80.2, 9),
    Pop("mil", "Milano", "IT", 9.2, 5),
    Pop("mnl", "Manila", "PH", 121.0, 2),
    Pop("mrs", "Marseille", "FR", 5.4, 3),
    Pop("mtl", "Montréal", "CA", -73.6, 6),
    Pop("muc", "München", "DE", 11.6, 3),
    Pop("nyc", "New York", "US", -74.0, 14),
    Pop("osa", "Osaka", "JP", 135.5, 3),
    Pop("osl", "Oslo", "NO", 10.8, 4),
    Pop("par", "Paris", "FR", 2.4, 10),
    Pop("per", "Perth", "AU", 115.9, 2),
    Pop("phx", "Phoenix", "US", -112.1, 5),
    Pop("prg", "Praha", "CZ", 14.4, 4),
    Pop("rio", "Rio de Janeiro", "BR", -43.2, 2),
    Pop("rix", "Rīga", "LV", 24.1, 2),
    Pop("rkv", "Reykjavík", "IS", -21.9, 2),
    Pop("rom", "Roma", "IT", 12.5, 2),
    Pop("sao", "São Paulo", "BR", -46.6, 6),
    Pop("scl", "Santiago", "CL", -70.7, 2),
    Pop("sea", "Seattle", "US", -122.3, 8),
    Pop("sel", "Seoul", "KR", 127.0, 3),
    Pop("sgn", "Thành phố Hồ Chí Minh", "VN", 106.7, 1),
    Pop("sin", "Singapore", "SG", 103.8, 8),
    Pop("sjc", "San Jose", "US", -121.9, 9),
    Pop("sjo", "San José", "CR", -84.1, 1),
    Pop("slc", "Salt Lake City", "US", -111.9, 3),
    Pop("sof", "Sofia", "BG", 23.3, 3),
    Pop("sto", "Stockholm", "SE", 18.1, 7),
    Pop("syd", "Sydney", "AU", 151.2, 7),
    Pop("tll", "Tallinn", "EE", 24.8, 2),
    Pop("tlv", "Tel Aviv", "IL", 34.8, 3),
    Pop("tor", "Toronto", "CA", -79.4, 8),
    Pop("tpe", "Taipei", "TW", 121.6, 3),
    Pop("tyo", "Tokyo", "JP", 139.7, 8),
    Pop("van", "Vancouver", "CA", -123.1, 4),
    Pop("vie", "Wien", "AT", 16.4, 4),
    Pop("vno", "Vilnius", "LT", 25.3, 2),
    Pop("waw", "Warszawa", "PL", 21.0, 4),
    Pop("zag", "Zagreb", "HR", 16.0, 1),
    Pop("zrh", "Zürich", "CH", 8.5, 6),
)

# Customers live in countries without a server, too: usage can never be joined with servers
# on the country.
ELSEWHERE = {
    "BD": 90.4,
    "CN": 116.4,
    "CY": 33.4,
    "DO": -69.9,
    "IR": 51.4,
    "KE": 36.8,
    "KW": 48.0,
    "KZ": 76.9,
    "LB": 35.5,
    "PK": 67.0,
    "RU": 37.6,
    "SA": 46.7,
    "TN": 10.2,
    "VE": -66.9,
}
