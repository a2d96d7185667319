//go:build linux

package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseHierarchies(t *testing.T) {
	const other = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
	tests := map[string]struct {
		mountinfo string
		want      []hierarchy
	}{
		"none": {other, nil},
		"version 2": {
			other + "25 22 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			[]hierarchy{{path: "/sys/fs/cgroup", unified: true}},
		},
		"version 1": {
			"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
				"33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
			[]hierarchy{
				{path: "/sys/fs/cgroup/cpu,cpuacct", options: "cpu,cpuacct"},
				{path: "/sys/fs/cgroup/memory", options: "memory"},
			},
		},
		"both: pods are limited by version 1": {
			"33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
				"34 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
			[]hierarchy{{path: "/sys/fs/cgroup/memory", options: "memory"}},
		},
		"a named hierarchy with options that may not change": {
			"35 31 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd\n",
			[]hierarchy{{path: "/sys/fs/cgroup/systemd", options: "name=systemd"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := parseHierarchies(test.mountinfo)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Errorf("hierarchies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControllers(t *testing.T) {
	tests := map[string][]string{"cpu,cpuacct": {"cpu", "cpuacct"}, "memory": {"memory"}, "name=systemd": nil}
	for options, want := range tests {
		if diff := cmp.Diff(want, hierarchy{options: options}.controllers()); diff != "" {
			t.Errorf("controllers of %q (-want +got):\n%s", options, diff)
		}
	}
}

func TestEnableControllersWritesOnlyWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "cpu pids\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := enableControllers(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil || string(got) != "+memory" {
		t.Errorf("wrote %q, error %v; want only +memory", got, err)
	}
}

func TestRemoveTree(t *testing.T) {
	root := filepath.Join(t.TempDir(), "keep")
	if err := os.MkdirAll(filepath.Join(root, "kubepods", "pod1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to remove
		if err := removeTree(root, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("the tree is still there: %v", err)
	}
}

func TestRemoveTreeGivesUp(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "busy"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(root, time.Millisecond); err == nil {
		t.Error("a tree that cannot be removed was reported as removed")
	}
}
