#!/usr/bin/env bash
# What there is to test and to measure on a GPU, in at most 9 minutes: see benchmarks/README.md.
#
#   bash benchmarks/gpu.sh [--list] [--only PART ...] [--budget SECONDS]
#   GPU_REHEARSAL=1 bash benchmarks/gpu.sh     everything at tiny size on a CPU
#
# Results go to $OUT (gpu-out unless set). PYTHON names an interpreter with torch; what it lacks
# beside is taken from the wheels that gpu-pack.sh left in .gpu/wheels, without a network.
set -euo pipefail
started=$(date +%s)
cd "$(dirname "$0")/.."

has_torch() { "$1" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))' 2>/dev/null; }
python=${PYTHON:-}
for each in .venv/bin/python python3 python; do
    if [ -z "$python" ] && has_torch "$each"; then python=$each; fi
done
if [ -z "$python" ] || ! has_torch "$python"; then
    echo "gpu.sh: no Python with torch found; set PYTHON=/path/to/python" >&2
    exit 2
fi

export OUT=${OUT:-$PWD/gpu-out}
mkdir -p "$OUT"
# What an earlier machine had found, carried along: its parts are not run again.
if [ -e .gpu/before/results.jsonl ] && [ ! -e "$OUT/results.jsonl" ]; then
    cp .gpu/before/results.jsonl "$OUT/"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONPATH="$PWD:$scratch/site${PYTHONPATH:+:$PYTHONPATH}"
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$scratch/inductor}
if [ "${GPU_REHEARSAL:-}" = 1 ]; then
    export ACCELERATE_USE_CPU=true CUDA_VISIBLE_DEVICES=
fi

if [ -d .gpu/wheels ]; then
    "$python" - .gpu/wheels > "$scratch/wheels" <<'PY'
import importlib.metadata, pathlib, sys

for wheel in sorted(pathlib.Path(sys.argv[1]).glob("*.whl")):
    try:
        importlib.metadata.version(wheel.name.split("-")[0])
    except importlib.metadata.PackageNotFoundError:
        print(wheel)
PY
    if [ -s "$scratch/wheels" ]; then
        "$python" -m pip install -q --no-index --no-deps --no-compile --disable-pip-version-check \
            --no-cache-dir --target "$scratch/site" -r "$scratch/wheels"
        echo "installed $(wc -l < "$scratch/wheels") wheels in $(($(date +%s) - started)) s"
    fi
fi
# The checkout is not installed there, and genkit asks for its own version.
"$python" - "$scratch/site" <<'PY'
import importlib.metadata, pathlib, sys, tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
try:
    importlib.metadata.version(project["name"])
except importlib.metadata.PackageNotFoundError:
    about = pathlib.Path(sys.argv[1]) / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {needed}" for needed in project["dependencies"]]
    (about / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
PY
"$python" -c 'import genkit, diffusers, accelerate, pytest' || {
    echo "gpu.sh: something is missing; pack it with benchmarks/gpu-pack.sh, or pip install -e '.[dev]'" >&2
    exit 2
}
"$python" -m benchmarks.gpu --started "$started" "$@"
