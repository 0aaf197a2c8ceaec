#!/bin/bash
# mkbochs.sh: the amd64 guest of mkguest.sh with the DRM driver of the Bochs display, which `bochs` in the
# guest loads; prints its folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/more.sh"
more_files() { :; }
more_guest bochs bochs /dev/null drivers/{gpu/drm,video,i2c}
