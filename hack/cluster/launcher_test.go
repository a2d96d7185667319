//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

func TestMissingPackages(t *testing.T) {
	required := []requirement{{"containerd", "containerd"}, {"ctr", "containerd"}, {"runc", "runc"}, {"nft", "nftables"}}
	tests := map[string]struct {
		present []string
		want    []string
	}{
		"all are there":             {[]string{"containerd", "ctr", "runc", "nft"}, nil},
		"one is missing":            {[]string{"containerd", "ctr", "runc"}, []string{"nftables"}},
		"one file of two":           {[]string{"containerd", "runc", "nft"}, []string{"containerd"}},
		"a package is listed once":  {[]string{"runc"}, []string{"containerd", "nftables"}},
		"a machine without any one": {nil, []string{"containerd", "runc", "nftables"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := missingPackages(required, func(file string) bool {
				return strings.Contains(" "+strings.Join(test.present, " ")+" ", " "+file+" ")
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessagesSayWhatToDo(t *testing.T) {
	if err := errors.Join(notRoot(0), tooFull("/c", needBytes)); err != nil {
		t.Errorf("a fit machine is refused: %v", err)
	}
	tests := map[string]struct {
		err  error
		want []string
	}{
		"not root":    {notRoot(1000), []string{"sudo", "CLUSTER=existing"}},
		"a full disk": {tooFull("/c", 3<<29), []string{"/c has 1.5 GiB", "needs 5", "CLUSTER_DIR"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, want := range test.want {
				if test.err == nil || !strings.Contains(test.err.Error(), want) {
					t.Errorf("message %v lacks %q", test.err, want)
				}
			}
		})
	}
}

func TestParseUp(t *testing.T) {
	tests := map[string]struct {
		args        []string
		environment string
		egress      bool
		err         string
	}{
		"closed by default":                {nil, "", false, ""},
		"open by the environment":          {nil, "1", true, ""},
		"closed by the environment":        {nil, "0", false, ""},
		"open by the flag":                 {[]string{"-egress"}, "", true, ""},
		"the flag outweighs the variable":  {[]string{"-egress=false"}, "1", false, ""},
		"neither yes nor no":               {nil, "wide", false, "set it to 1"},
		"an argument that nothing is for":  {[]string{"egress"}, "", false, `"egress"`},
		"an unknown flag is not forgotten": {[]string{"-ingress"}, "", false, "-ingress"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			egress, err := parseUp(test.args, test.environment)
			if egress != test.egress {
				t.Errorf("egress is %t, want %t", egress, test.egress)
			}
			if (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error is %v, want one with %q", err, test.err)
			}
		})
	}
}

func TestReportedVersionIsTheOneThatIsBuilt(t *testing.T) {
	module, err := os.ReadFile(filepath.Join("node", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`k8s\.io/kubernetes (v\S+)`).FindSubmatch(module)
	if pinned == nil || string(pinned[1]) != layout.KubernetesVersion {
		t.Errorf("node/go.mod pins %s, the API server reports %s", pinned, layout.KubernetesVersion)
	}
	staging := strings.Replace(layout.KubernetesVersion, "v1.", "v0.", 1)
	for _, m := range regexp.MustCompile(`=> k8s\.io/\S+ (v\S+)`).FindAllSubmatch(module, -1) {
		if string(m[1]) != staging {
			t.Errorf("%s should be at %s", m[0], staging)
		}
	}
}

func TestFingerprintFollowsTheSources(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "node", "main.go")
	if err := os.Mkdir(filepath.Dir(source), 0o700); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, content := range []string{"package main", "package main // changed"} {
		if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		once, err := fingerprint(root, "node")
		if err != nil {
			t.Fatal(err)
		}
		again, err := fingerprint(root, "node")
		if err != nil || once != again {
			t.Errorf("unchanged sources have two fingerprints (error %v)", err)
		}
		seen[once] = true
	}
	if len(seen) != 2 {
		t.Error("changed sources have the same fingerprint")
	}
	if err := os.WriteFile(filepath.Join(root, "node", "main_test.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if tested, err := fingerprint(root, "node"); err != nil || !seen[tested] {
		t.Errorf("a test makes the programs be built again (error %v)", err)
	}
}

func TestStepShowsThatItIsAliveAndHowLongItTook(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.beat = 10 * time.Millisecond
	if err := p.step("Working", func() error { time.Sleep(35 * time.Millisecond); return nil }); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^Working \.\.\.(\n  0\.0 s so far \.\.\.)+ 0\.\d s\n$`).MatchString(out.String()) {
		t.Errorf("output is %q", out.String())
	}
}

func TestStepHandsOnItsError(t *testing.T) {
	var out bytes.Buffer
	broken := errors.New("broken")
	if err := newProgress(&out).step("Working", func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	if got, want := out.String(), "Working ... failed after 0.0 s\n"; got != want {
		t.Errorf("output is %q, want %q", got, want)
	}
}

func TestTail(t *testing.T) {
	if got, want := tail("one\ntwo\nthree\n", 2), "  two\n  three"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := tail("one\n", 2), "  one"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDescribe(t *testing.T) {
	tests := map[string]layout.Component{
		"starting":            {Name: "etcd"},
		"running":             {Name: "etcd", Ready: true},
		"ended: exit code 1":  {Name: "etcd", Ready: true, Exit: "exit code 1"},
		"ended: exit code 12": {Name: "etcd", Exit: "exit code 12"},
	}
	for want, c := range tests {
		if got := describe(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUnwellShowsTheEndOfTheLog(t *testing.T) {
	l := &launcher{dir: layout.Dir(t.TempDir())}
	if err := os.MkdirAll(l.dir.Logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.dir.Log("etcd"), []byte("early\n"+strings.Repeat("late\n", shownLines)), 0o600); err != nil {
		t.Fatal(err)
	}
	components := []layout.Component{{Name: "containerd", Ready: true}, {Name: "etcd", Ready: true, Exit: "exit code 1"}}
	if err := l.dir.SaveComponents(components); err != nil {
		t.Fatal(err)
	}
	err := l.unwell()
	if err == nil {
		t.Fatal("a cluster without etcd is taken for well")
	}
	for _, want := range []string{"etcd is not well: ended: exit code 1", "late", l.dir.Log("etcd")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message %v lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "early") {
		t.Errorf("message %v shows more than the end of the log", err)
	}
}

func TestExistingClusterIsLeftAlone(t *testing.T) {
	var out bytes.Buffer
	l := &launcher{dir: layout.Dir(filepath.Join(t.TempDir(), "absent")), existing: true, out: &out, progress: newProgress(&out)}
	for name, command := range map[string]func(context.Context) error{"up": l.up, "down": l.down} {
		out.Reset()
		if err := command(t.Context()); err != nil || !strings.HasPrefix(out.String(), existingNotice) {
			t.Errorf("%s: output %q, error %v", name, out.String(), err)
		}
	}
	if _, err := os.Stat(string(l.dir)); !os.IsNotExist(err) {
		t.Errorf("a directory was made for a cluster that is not ours: %v", err)
	}
}
