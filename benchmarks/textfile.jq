# Makes a textfile for node_exporter of an answer of /v2/servers: the two series of each server.
# JSON and Prometheus escape a quote, a backslash and a newline alike, and no name has worse.
def labels: "account=\"default\",fqdn=\(.key | tojson),pop=\(.key | split("-")[0] | tojson)"
  + ",country=\(.value.country | tojson),city=\(.value.city | tojson)";

(.server | to_entries | map(. + {labels: labels})) as $servers
| "# HELP wlvpn_server_capacity_used_ratio Used share of the server's capacity.",
  "# TYPE wlvpn_server_capacity_used_ratio gauge",
  ($servers[]
    | "wlvpn_server_capacity_used_ratio{\(.labels)} \((.value.capacity | tonumber) / 100)"),
  "# HELP wlvpn_server_info A listed server, always 1.",
  "# TYPE wlvpn_server_info gauge",
  ($servers[] | "wlvpn_server_info{\(.labels),ip=\(.value.ip | tojson)} 1")
