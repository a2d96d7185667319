//go:build linux

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hierarchy is a mounted tree of cgroups.
type hierarchy struct {
	path    string
	unified bool   // version 2
	options string // what to mount it with again: its controllers, or its name
}

func (h hierarchy) controllers() []string {
	if strings.HasPrefix(h.options, "name=") {
		return nil
	}
	return strings.Split(h.options, ",")
}

// hierarchies returns the trees that pods are limited by. On a machine with both versions those are of version 1.
func hierarchies() ([]hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	list := parseHierarchies(string(mounts))
	if len(list) == 0 {
		return nil, errors.New("no cgroups are mounted below /sys/fs/cgroup; mount them as your distribution does")
	}
	return list, nil
}

// parseHierarchies reads proc_pid_mountinfo(5).
func parseHierarchies(mountinfo string) []hierarchy {
	var list []hierarchy
	for line := range strings.Lines(mountinfo) {
		mount, super, _ := strings.Cut(line, " - ")
		left, right := strings.Fields(mount), strings.Fields(super)
		if len(left) < 5 || len(right) < 3 {
			continue
		}
		switch path := left[4]; {
		case right[0] == "cgroup2" && path == "/sys/fs/cgroup":
			return []hierarchy{{path: path, unified: true}}
		case right[0] == "cgroup" && strings.HasPrefix(path, "/sys/fs/cgroup/"):
			list = append(list, hierarchy{path: path, options: mountOptions(right[2])})
		}
	}
	return list
}

// mountOptions keeps what chooses the hierarchy and leaves out how it behaves, which a second mount may not change.
func mountOptions(super string) string {
	behaviour := []string{"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "seclabel"}
	return strings.Join(slices.DeleteFunc(strings.Split(super, ","), func(o string) bool {
		return slices.Contains(behaviour, o) || strings.HasPrefix(o, "release_agent=")
	}), ",")
}

// JoinCgroups makes a cgroup of the given name in every hierarchy and moves the process into them.
func JoinCgroups(name string, pid int) error {
	list, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range list {
		if err := h.join(name, pid); err != nil {
			return fmt.Errorf("make the node's cgroup: %w", err)
		}
	}
	return nil
}

func (h hierarchy) join(name string, pid int) error {
	path := filepath.Join(h.path, name)
	if h.unified {
		if err := enableControllers(h.path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if slices.Contains(h.controllers(), "cpuset") {
		if err := inheritCpuset(path); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// inheritCpuset allows the processors and memory of the parent, because no process may join an empty set (version 1).
func inheritCpuset(path string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, file), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// enableControllers lets the children of a cgroup of version 2 use every controller that it has itself.
func enableControllers(path string) error {
	available, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return err
	}
	enabled, err := os.ReadFile(filepath.Join(path, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(available)) {
		if slices.Contains(strings.Fields(string(enabled)), c) {
			continue
		}
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
			return fmt.Errorf("enable the %s controller: %w", c, err)
		}
	}
	return nil
}

// RemoveCgroups removes what JoinCgroups made and all that grew below. It gives processes that are ending some seconds.
func RemoveCgroups(name string) error {
	list, err := hierarchies()
	if err != nil {
		return err
	}
	var failures []error
	for _, h := range list {
		failures = append(failures, removeTree(filepath.Join(h.path, name), 10*time.Second))
	}
	return errors.Join(failures...)
}

func removeTree(root string, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := removeDirs(root)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// removeDirs removes directories only, from the leaves up: the files of a cgroup go with it.
func removeDirs(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeDirs(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(root)
}
