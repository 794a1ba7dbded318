#!/bin/sh
# The programs of other people that the tests compare against. Where this is root with apt they are installed;
# elsewhere the missing ones are named here, and the tests that need them are counted at the end of the run.
missing=""
for program in sox ffmpeg chromium ceph-mon ceph-osd radosgw fluidsynth; do  # each in the Debian package of its name
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
# What fluidsynth plays on; FluidR3_GM, 120 MB to fetch, and not a smaller one: the study corpus is defined by it.
[ -e /usr/share/sounds/sf2/FluidR3_GM.sf2 ] || missing="$missing fluid-soundfont-gm"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
    echo "apt-get could not install$missing"
fi
echo "missing:$missing - the tests that need them are left out and counted; install them to run everything"
