#!/usr/bin/env bash
# Pack what a GPU's machine without a network lacks into .gpu/, which git ignores: wheels of the
# packages that genkit needs beside torch, and a data set for the real run.
#
#   bash benchmarks/gpu-pack.sh [--data PATH] [--results PATH]
#
# --data PATH     a folder called mnist or cifar10, as `data.root` takes it; without one the real
#                 run draws its digits
# --results PATH  a folder of results of gpu.sh whose parts are not to be run again
#
# GPU_PYTHON (3.12) is that machine's Python. At most 64 MiB may travel.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${GPU_PYTHON:-3.12}
most=$((64 * 1024 * 1024))
data= results=
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=${2:?--data needs a path}; shift 2 ;;
        --results) results=${2:?--results needs a path}; shift 2 ;;
        *) echo "gpu-pack.sh: $1: unknown; there are --data PATH and --results PATH" >&2; exit 2 ;;
    esac
done
name=$(basename "$data")
case $name in
    "" | mnist | cifar10) ;;
    *) echo "gpu-pack.sh: $data: the real run knows folders called mnist or cifar10" >&2; exit 2 ;;
esac

# Without torch and what comes with it. gpu.sh installs those only that it does not find.
names=(diffusers pydantic pydantic_core annotated-types typing-inspection lpips clean-fid
    importlib_metadata zipp)
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
for name in "${names[@]}"; do
    grep -i -E "^${name//[-_]/[-_]}==" constraints.txt || echo "$name"
done > "$pins"

mkdir -p .gpu
rm -rf .gpu/wheels && mkdir .gpu/wheels
platforms=()
for each in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do
    platforms+=(--platform "${each}_x86_64")
done
"${PYTHON:-python3}" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version "$version" --implementation cp "${platforms[@]}" -d .gpu/wheels -r "$pins"

if [ -n "$data" ]; then
    rm -rf .gpu/data && mkdir .gpu/data
    cp -rL "$data" ".gpu/data/$name"
    chmod -R u+w .gpu/data
fi
if [ -n "$results" ]; then
    rm -rf .gpu/before && mkdir .gpu/before
    cp "$results/results.jsonl" .gpu/before/
fi

size=$(du -sb .gpu | cut -f1)
echo "$(ls .gpu/wheels | wc -l) wheels; .gpu: $((size / 1024 / 1024)) MiB"
if [ "$size" -gt "$most" ]; then
    echo "gpu-pack.sh: more than 64 MiB; leave --data out, or give less of it" >&2
    exit 1
fi
echo "Carry .gpu with the working tree, then: bash benchmarks/gpu.sh"
