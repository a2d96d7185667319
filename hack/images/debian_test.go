package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSourcesFrom(t *testing.T) {
	for name, tc := range map[string]struct {
		targets string
		want    []string
	}{
		"a mirror of this release": {
			"Debian http://mirror.example.com/debian/ bookworm main\n" +
				"Debian http://mirror.example.com/debian/ bookworm-updates main\n" +
				"Debian http://mirror.example.com/security/ bookworm-security main\n",
			[]string{
				"deb http://mirror.example.com/debian/ bookworm main",
				"deb http://mirror.example.com/debian/ bookworm-updates main",
				"deb http://mirror.example.com/security/ bookworm-security main",
			},
		},
		"each source once": {
			"Debian http://mirror.example.com/debian/ bookworm main\nDebian http://mirror.example.com/debian/ bookworm main\n",
			[]string{"deb http://mirror.example.com/debian/ bookworm main"},
		},
		"other publishers and other components stay out": {
			"Debian http://mirror.example.com/debian/ bookworm main\n" +
				"Debian http://mirror.example.com/debian/ bookworm non-free\n" +
				"Example https://packages.example.com/debian/ bookworm main\n",
			[]string{"deb http://mirror.example.com/debian/ bookworm main"},
		},
		"a machine with another release":      {"Debian http://mirror.example.com/debian/ trixie main\n", defaultSources},
		"only updates of this release":        {"Debian http://mirror.example.com/debian/ bookworm-updates main\n", defaultSources},
		"another distribution":                {"Ubuntu http://mirror.example.com/ubuntu/ noble main\n", defaultSources},
		"no lists, so apt names no publisher": {"$(ORIGIN) http://mirror.example.com/debian/ bookworm main\n", defaultSources},
		"nothing":                             {"", defaultSources},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, sourcesFrom(tc.targets)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAptOptions(t *testing.T) {
	got := aptOptions("Acquire::http::Proxy \"http://proxy.example.com:3128\";\n\nAcquire::Check-Valid-Until \"false\";\n")
	want := []string{
		`--aptopt=Acquire::http::Proxy "http://proxy.example.com:3128";`,
		`--aptopt=Acquire::Check-Valid-Until "false";`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

// fakeApt answers for the apt of a machine with a mirror and a proxy.
var fakeApt = map[string]string{
	"apt-get":    `[ "$1" != indextargets ] || echo "Debian http://mirror.example.com/debian/ bookworm main"`,
	"apt-config": `echo 'Acquire::http::Proxy "http://proxy.example.com:3128";'`,
}

func TestWriteDebian(t *testing.T) {
	b, _ := newBuilder(t)
	folder := t.TempDir()
	root, asked := filepath.Join(folder, "root.tar"), filepath.Join(folder, "asked")
	writeTestFile(t, root, packTar(t, systemFiles()...).String())
	scripts := map[string]string{"mmdebstrap": fmt.Sprintf(`
for a in "$@"; do echo "$a"; done > %[1]s
echo "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH in ${TMPDIR%%/*}" >> %[1]s
cat %[2]s`, asked, root)}
	maps.Copy(scripts, fakeApt)
	fakePrograms(t, scripts)
	var layer bytes.Buffer
	if err := b.writeDebian(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--variant=minbase", "--architectures=amd64", "--include=" + strings.Join(debianPackages, ","), "--format=tar",
		`--aptopt=Acquire::http::Proxy "http://proxy.example.com:3128";`,
		"bookworm", "-", "deb http://mirror.example.com/debian/ bookworm main",
		"SOURCE_DATE_EPOCH=946684800 in " + b.cache("tmp"),
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(readTestFile(t, asked)), "\n")); diff != "" {
		t.Errorf("mmdebstrap was asked (-want +got):\n%s", diff)
	}
	if names := entryNames(unpackTar(t, &layer)); !slices.Contains(names, "workspace/") {
		t.Errorf("the layer holds %v, want a slimmed root filesystem", names)
	}
}

func TestInterruptedDebianLeavesNothing(t *testing.T) {
	b, _ := newBuilder(t)
	if os.Geteuid() != 0 {
		t.Skip("without root mmdebstrap makes its namespaces itself")
	}
	folder := t.TempDir()
	started, survivor := filepath.Join(folder, "started"), filepath.Join(folder, "survivor")
	scripts := map[string]string{"mmdebstrap": fmt.Sprintf(`
trap '' INT TERM
mkdir "$TMPDIR/root" && mount -t tmpfs none "$TMPDIR/root"
(sleep 0.7; touch %s) &
touch %s
while :; do sleep 0.1; done`, survivor, started)}
	maps.Copy(scripts, fakeApt)
	fakePrograms(t, scripts)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- b.writeDebian(ctx, &bytes.Buffer{}) }()
	waitFor(t, started)
	cancel()
	if err := <-ended; err == nil {
		t.Error("an interrupted installation counts as a success")
	}
	if left := listFolder(t, b.cache("tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if mounts := readTestFile(t, "/proc/self/mountinfo"); strings.Contains(mounts, b.cache("tmp")) {
		t.Error("something is still mounted")
	}
	time.Sleep(time.Second)
	if exists(survivor) {
		t.Error("a child of the installation lives on")
	}
}

func TestWriteDebianSaysWhatMmdebstrapSaid(t *testing.T) {
	b, _ := newBuilder(t)
	scripts := map[string]string{"mmdebstrap": `echo "E: Temporary failure resolving 'mirror.example.com'" >&2; exit 25`}
	maps.Copy(scripts, fakeApt)
	fakePrograms(t, scripts)
	err := b.writeDebian(t.Context(), &bytes.Buffer{})
	wantError(t, err, "mmdebstrap: exit status 25", "check the network", "mirror.example.com")
}

func TestWriteDebianNeedsAWholeRootFilesystem(t *testing.T) {
	b, _ := newBuilder(t)
	scripts := map[string]string{"mmdebstrap": "exit 0"}
	maps.Copy(scripts, fakeApt)
	fakePrograms(t, scripts)
	wantError(t, b.writeDebian(t.Context(), &bytes.Buffer{}), "files to edit")
}

func TestPackagesAreSortedAndWithoutSSH(t *testing.T) {
	if !slices.IsSorted(debianPackages) {
		t.Errorf("packages are not sorted: %v", debianPackages)
	}
	for _, p := range debianPackages {
		if strings.Contains(p, "ssh") || strings.Contains(p, "credential") || strings.Contains(p, "keyring") {
			t.Errorf("%s keeps credentials; a sandbox has none", p)
		}
	}
}
