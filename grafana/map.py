"""The map: Grafana places countries by their ISO codes, which the platform does not quite use."""

from grafana_foundation_sdk.builders import common, geomap
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.geomap import TooltipMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import limit
from grafana.panel import instant, told
from grafana.table import shown


def of_countries(used: str) -> geomap.Panel:
    """Countries by how full their servers are; `used` gives each server once."""
    filled = f'label_replace(avg by (country) ({used}), "place", "$1", "country", "(.+)")'
    servers = f'label_replace(count by (country) ({used}), "place", "$1", "country", "(.+)")'
    panel = told(
        geomap.Panel(),
        "Used capacity by country",
        "Where on earth is it full? The colour is the average of a country's servers, the size "
        "says how many there are.",
    )
    for ref_id, expr in (("A", filled), ("B", servers)):
        # Grafana's list of places knows ISO codes only.
        iso = f'label_replace({expr}, "place", "GB", "country", "UK")'
        panel = panel.with_target(instant(iso, ref_id=ref_id).format(PromQueryFormat.TABLE))
    names = {"place": "place", "country": "Country", "Value #A": "Used", "Value #B": "Servers"}
    for transformation in shown(names):
        panel = panel.with_transformation(transformation)
    panel = panel.thresholds(limit.of_countries()).unit("percentunit").decimals(0)
    panel = panel.no_value("No servers").override_by_name(
        "Servers", [DynamicConfigValue("unit", "none")]
    )
    view = geomap.MapViewConfig().id("fit").all_layers(True).padding(4).max_zoom(4)
    controls = geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False)
    panel = panel.view(view).controls(controls.show_attribution(True))
    panel = panel.basemap(common.MapLayerOptions().type("default").name("Background"))
    panel = panel.tooltip(geomap.TooltipOptions().mode(TooltipMode.DETAILS))
    return panel.layers([_markers()])


def _markers() -> common.MapLayerOptions:
    place = common.FrameGeometrySource().mode(options.FrameGeometrySourceMode.LOOKUP)
    place = place.lookup("place").gazetteer("public/gazetteer/countries.json")
    style = {
        "color": {"field": "Used", "fixed": "green"},
        "opacity": 0.7,
        "size": {"field": "Servers", "fixed": 6, "max": 16, "min": 5},
        "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
    }
    config = {"showLegend": True, "style": style}
    return (
        common.MapLayerOptions()
        .type("markers")
        .name("Countries")
        .location(place)
        .config(config)
        .tooltip(True)
    )
