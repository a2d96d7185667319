//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// launcher carries out the commands for one cluster.
type launcher struct {
	dir layout.Dir
	// source is the top of the checkout.
	source string
	// existing says that the user brings a cluster of their own.
	existing bool
	// egress says that pods shall reach the outside network.
	egress   bool
	out      io.Writer
	progress *progress
}

func newLauncher(out io.Writer) (*launcher, error) {
	source, err := findSource()
	if err != nil {
		return nil, err
	}
	dir := os.Getenv("CLUSTER_DIR")
	if dir == "" {
		dir = filepath.Join(source, ".cluster")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	return &launcher{
		dir: layout.Dir(dir), source: source, existing: os.Getenv("CLUSTER") == "existing",
		out: out, progress: newProgress(out),
	}, nil
}

// findSource looks for the top of the checkout from the working directory upwards.
func findSource() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "node", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of the project: run this from one", start)
		}
	}
}

// begin is the first step of a command that changes the cluster. It keeps others from doing so until unlock is called.
func (l *launcher) begin() (unlock func(), err error) {
	if err := notRoot(os.Geteuid()); err != nil {
		return nil, err
	}
	// A service manager may have left the administrator's directories out.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return nil, err
	}
	return l.lock()
}

// lock keeps other commands from changing the cluster until unlock is called, and waits for those that do so now.
func (l *launcher) lock() (unlock func(), err error) {
	if err := os.MkdirAll(string(l.dir), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(l.dir.Lock(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		l.progress.printf("Waiting for another command that changes this cluster\n")
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.dir.Lock(), err)
	}
	// Closing the file is what releases the lock.
	return func() { _ = f.Close() }, nil
}

// running returns the record of the cluster if its node is alive.
func (l *launcher) running() (layout.Record, bool, error) {
	r, found, err := l.dir.Record()
	return r, found && r.Process.Alive(), err
}
