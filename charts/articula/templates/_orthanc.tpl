{{/* What of Orthanc's configuration depends on the cluster; secrets join it inside the pod. */}}
{{- define "articula.orthanc.configuration" -}}
{{- $o := .Values.orthanc -}}
{{- $section := dict "Python" "/opt/articula/venv/bin/python3" "Analysis" (printf "%s-preprocessing:50051" (include "articula.name" .)) "OrthancUrl" "http://127.0.0.1:8042" "User" "articula" "Ledger" "/srv/orthanc/articula/ledger.sqlite" "PagesSocket" "/tmp/pages.sock" "Ohif" "/opt/articula/ohif" "MetricsPort" 9101 "QuietSeconds" $o.quietSeconds "SeriesQuietSeconds" $o.seriesQuietSeconds "SweepSeconds" $o.sweepSeconds -}}
{{- $configuration := dict "DicomAet" $o.aet "Articula" $section -}}
{{- if $o.postgresql.enabled -}}
{{- $p := $o.postgresql -}}
{{- $_ := set $configuration "PostgreSQL" (dict "EnableIndex" true "EnableStorage" false "Host" $p.host "Port" $p.port "Database" $p.database "Username" $p.user "EnableSsl" $p.ssl "TransactionMode" "Serializable" "IndexConnectionsCount" 1) -}}
{{- end -}}
{{- $configuration | toJson -}}
{{- end }}
