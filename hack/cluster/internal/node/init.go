//go:build linux

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

const (
	// goFD becomes readable once the machine's side of the node is ready: cgroups and the link.
	goFD = 3
	// reportFD takes a Report for each stage.
	reportFD = 4
)

// Report says how one stage of the start went.
type Report struct {
	// Failed names the component that did not start, if any.
	Failed string `json:"failed,omitempty"`
	// Reason says why, and is empty on success.
	Reason string `json:"reason,omitempty"`
}

// Enter is the first half of the node's process 1. It waits until its process is in its cgroups, makes those the root of
// all that it will see, and goes on as Init: a cgroup namespace belongs to a thread until the program is replaced.
func Enter(argv []string) error {
	if err := awaitGo(); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a cgroup namespace: %w", err)
	}
	return fmt.Errorf("start the node's init: %w", syscall.Exec("/proc/self/exe", argv, os.Environ()))
}

func awaitGo() error {
	pipe := os.NewFile(goFD, "go")
	defer func() { _ = pipe.Close() }()
	if _, err := pipe.Read(make([]byte, 1)); err != nil {
		return errors.New("the command that starts the node ended early")
	}
	return nil
}

// Init is the second half of the node's process 1: it furnishes the namespaces, starts the components and watches them
// until it is killed. It never returns nil.
func Init(ctx context.Context, dir layout.Dir, n layout.Network) error {
	reports := os.NewFile(reportFD, "reports")
	syscall.CloseOnExec(reportFD)
	s := &supervisor{dir: inside, reports: json.NewEncoder(reports)}
	if err := furnish(ctx, dir, n); err != nil {
		return s.report("init", err)
	}
	return s.run(ctx, stages(n))
}

func furnish(ctx context.Context, dir layout.Dir, n layout.Network) error {
	if err := os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(layout.NodeName)); err != nil {
		return fmt.Errorf("name the node: %w", err)
	}
	if err := mountNode(dir); err != nil {
		return err
	}
	return raiseLink(ctx, n)
}

// mountNode makes the node's own view of the file system. Everything is private until the end: sharing from the start
// would repeat each mount of a pod in every place where the directory of the cluster can be seen.
func mountNode(dir layout.Dir) error {
	cgroups, err := hierarchies()
	if err != nil {
		return err
	}
	cluster, err := os.Open(string(dir))
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	m := &mounter{}
	m.mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	m.mount("proc", "/proc", "proc", 0, "")
	m.mount("sysfs", "/sys", "sysfs", 0, "")
	m.cgroups(cgroups)
	m.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
	m.bind(fmt.Sprintf("/proc/self/fd/%d", cluster.Fd()), layout.Inside)
	m.mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755")
	m.bind(inside.State("kubelet"), "/var/lib/kubelet")
	m.bind(inside.State("log"), "/var/log")
	m.mount("none", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
	return m.err
}

// mounter mounts until something fails.
type mounter struct{ err error }

func (m *mounter) mount(source, target, fstype string, flags uintptr, options string) {
	if m.err != nil {
		return
	}
	if err := syscall.Mount(source, target, fstype, flags, options); err != nil {
		m.err = fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
}

// bind makes source, a directory, visible at target as well.
func (m *mounter) bind(source, target string) {
	m.mkdir(source)
	m.mkdir(target)
	m.mount(source, target, "", syscall.MS_BIND|syscall.MS_REC, "")
}

func (m *mounter) mkdir(path string) {
	if m.err == nil {
		m.err = os.MkdirAll(path, 0o755)
	}
}

func (m *mounter) cgroups(list []hierarchy) {
	if len(list) == 1 && list[0].unified {
		m.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "")
		m.delegate()
		return
	}
	m.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755")
	for _, h := range list {
		target := filepath.Join("/sys/fs/cgroup", filepath.Base(h.path))
		m.mkdir(target)
		m.mount("cgroup", target, "cgroup", 0, h.options)
		m.alias(h)
	}
}

// alias makes every controller of a hierarchy that holds several visible under its own name.
func (m *mounter) alias(h hierarchy) {
	for _, name := range h.controllers() {
		if m.err == nil && name != filepath.Base(h.path) {
			m.err = os.Symlink(filepath.Base(h.path), filepath.Join("/sys/fs/cgroup", name))
		}
	}
}

// delegate lets pods have controllers of their own: cgroups of version 2 allow that only below a cgroup without processes.
func (m *mounter) delegate() {
	const root = "/sys/fs/cgroup"
	m.mkdir(root + "/init")
	if m.err != nil {
		return
	}
	m.err = os.WriteFile(root+"/init/cgroup.procs", []byte("1"), 0)
	if m.err == nil {
		m.err = enableControllers(root)
	}
}
