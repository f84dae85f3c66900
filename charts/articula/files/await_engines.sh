# Arguments: folder of the engines, compute capability of this GPU, seconds to wait.
# The build publishes the folder with its manifest in one step, so a manifest means whole engines.
set -eu
left=$3
while [ ! -f "$1/manifest.json" ]; do
    if [ "$left" -le 0 ]; then
        echo "No engines in $1 after $3 s. Does the Job that builds them run? See docs/runbooks.md." >&2
        exit 1
    fi
    sleep 1
    left=$((left - 1))
done
if ! grep -q "\"compute_capability\": *\"$2\"" "$1/manifest.json"; then
    echo "The engines in $1 were built for another GPU than compute capability $2. Remove the folder and build again." >&2
    exit 1
fi
