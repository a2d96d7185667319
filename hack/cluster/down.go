//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

// down ends the cluster if there is one.
func (l *launcher) down() error {
	if l.existing {
		fmt.Fprintln(l.out, existingNotice+"; nothing to end")
		return nil
	}
	unlock, err := l.begin()
	if err != nil {
		return err
	}
	defer unlock()
	_, alive, err := l.running()
	if err != nil {
		return err
	}
	if err := l.progress.step("Ending the cluster", l.end); err != nil {
		return err
	}
	if !alive {
		fmt.Fprintln(l.out, "It was not up")
	}
	return nil
}

// end kills the node's process 1, with which the kernel ends every process, mount and interface of the node, and removes
// what is left: cgroups and files. It does no harm where nothing runs.
func (l *launcher) end() error {
	record, found, err := l.dir.Record()
	if err != nil {
		return err
	}
	if found {
		if err := endNode(record); err != nil {
			return err
		}
	}
	for _, path := range l.dir.Ephemeral() {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func endNode(record layout.Record) error {
	process, name := record.Process, record.Network.Name()
	if process.Alive() {
		if err := syscall.Kill(process.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the node, process %d: %w", process.PID, err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); process.Alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the node, process %d, does not end: a program in it may wait for a disk", process.PID)
		}
	}
	return errors.Join(node.RemoveLink(record.Network), node.RemoveCgroups(name))
}
