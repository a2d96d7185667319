//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

// down ends the cluster if there is one.
func (l *launcher) down(ctx context.Context) error {
	if l.existing {
		l.progress.printf("%s; nothing to end\n", existingNotice)
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
	if err := l.progress.step("Ending the cluster", func() error { return l.end(ctx) }); err != nil {
		return err
	}
	if !alive {
		l.progress.printf("It was not up\n")
	}
	return nil
}

// end kills the node's process 1, with which the kernel ends every process, mount and interface of the node, and removes
// what is left: cgroups and files. It does no harm where nothing runs, and an interrupt does not leave it half done.
func (l *launcher) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	record, found, err := l.dir.Record()
	if err != nil {
		return err
	}
	if found {
		if err := endNode(ctx, record); err != nil {
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

func endNode(ctx context.Context, record layout.Record) error {
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
	if record.Egress != nil {
		if err := node.CloseEgress(ctx, record); err != nil {
			return err
		}
	}
	return errors.Join(node.RemoveLink(ctx, record.Network), node.RemoveCgroups(name))
}
