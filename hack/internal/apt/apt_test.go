package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeApt puts an apt-get first in PATH that notes its arguments and then does what the script says; $turn counts its runs.
func fakeApt(t *testing.T, script string) (runs func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "runs")
	text := "#!/bin/sh\nshift 3\necho \"$*\" >> " + log + "\nturn=$(wc -l < " + log + ")\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() []string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func TestAnotherRunIsWaitedFor(t *testing.T) {
	runs := fakeApt(t, `[ $turn -gt 1 ] || { echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)" >&2; exit 100; }; echo done`)
	said, err := Get(t.Context(), "update")
	if err != nil || said != "done\n" {
		t.Errorf("got %q, %v", said, err)
	}
	if len(runs()) != 2 {
		t.Errorf("%d runs, want two", len(runs()))
	}
}

func TestFailureIsToldAtOnce(t *testing.T) {
	runs := fakeApt(t, `echo "E: Unable to locate package x"; exit 100`)
	said, err := Get(t.Context(), "install", "x")
	if err == nil || !strings.Contains(said, "Unable to locate") {
		t.Errorf("got %q, %v; want what apt said", said, err)
	}
	if len(runs()) != 1 {
		t.Errorf("%d runs, want one", len(runs()))
	}
}

func TestListsAreRefreshedOnlyWhereTheyMust(t *testing.T) {
	const install = "install --yes --no-install-recommends x y"
	for name, test := range map[string]struct {
		script string
		want   []string
	}{
		"fresh lists":              {"exit 0", []string{install}},
		"stale lists":              {"[ $turn -gt 1 ]", []string{install, "update", install}},
		"the lists cannot be read": {"exit 100", []string{install, "update"}},
	} {
		t.Run(name, func(t *testing.T) {
			runs := fakeApt(t, test.script)
			_, err := Install(t.Context(), "x", "y")
			if failed := err != nil; failed != (name == "the lists cannot be read") {
				t.Errorf("got %v", err)
			}
			if got := strings.Join(runs(), ", "); got != strings.Join(test.want, ", ") {
				t.Errorf("ran %s; want %s", got, strings.Join(test.want, ", "))
			}
		})
	}
}
