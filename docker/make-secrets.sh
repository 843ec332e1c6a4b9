#!/bin/sh
# Makes the secrets of compose.yaml that are missing, one file each, in the folder beside this script (or the one named).
# The folder is closed to others (0700); the files in it can be read by the users inside the containers, who have other ids.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 022
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

sum() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

for name in postgres_password clickhouse_password clickhouse_dashboards_password redis_password api_token metrics_token \
    privacy_key grafana_password kafka_ui_password; do
    if [ ! -s "$name" ]; then
        # 48 letters and digits: they mean the same in a URL, in XML and in an access list.
        LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 48 > "$name.new"
        mv "$name.new" "$name"
        echo "made $name"
    fi
done

# Where alarms go, in the notation of apprise (docs/reliability.md): empty until somebody writes it in.
[ -e alarm_urls ] || : > alarm_urls

# The servers themselves get no password, only its SHA-256.
cat > clickhouse_passwords.xml.new << END
<clickhouse>
  <users>
    <neonblue><password_sha256_hex>$(sum < clickhouse_password)</password_sha256_hex></neonblue>
    <dashboards><password_sha256_hex>$(sum < clickhouse_dashboards_password)</password_sha256_hex></dashboards>
  </users>
</clickhouse>
END
echo "user default on #$(sum < redis_password) ~* &* +@all" > redis_acl.new
mv clickhouse_passwords.xml.new clickhouse_passwords.xml
mv redis_acl.new redis_acl
chmod 444 ./*
chmod 644 alarm_urls
