"""Write Orthanc's configuration with its secrets: image's file, cluster's, secrets, target, data."""

import json
import sys
from pathlib import Path

base, cluster, secrets, target, data = (Path(argument) for argument in sys.argv[1:])
configuration = json.loads(base.read_text()) | json.loads(cluster.read_text())
section = configuration["Articula"]
section["Password"] = (secrets / "forwarder-password").read_text().strip()
section["LogKey"] = (secrets / "log-key").read_text().strip()
users = json.loads((secrets / "users.json").read_text())
if not all([users, *users.values(), section["Password"], section["LogKey"]]):
    sys.exit("A user, a password or the key of the logs is empty; see existingSecret in the chart's README.")
configuration["RegisteredUsers"] = users | {section["User"]: section["Password"]}
if "PostgreSQL" in configuration:
    configuration["PostgreSQL"]["Password"] = (secrets / "postgresql-password").read_text().strip()
    configuration["Plugins"].append("/usr/share/orthanc/plugins-available/libOrthancPostgreSQLIndex.so")
(target / "orthanc.json").write_text(json.dumps(configuration, indent=2))
for name in ("storage", "index", "articula"):  # a new volume is empty
    (data / name).mkdir(mode=0o700, exist_ok=True)
