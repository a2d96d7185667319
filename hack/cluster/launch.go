//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

// launch starts the node's process 1 in fresh namespaces, gives it its cgroups and its link, follows its start and opens the
// way out if it shall have one.
func (l *launcher) launch(ctx context.Context, r layout.Record) error {
	goRead, goWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = goWrite.Close() }()
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = reportRead.Close() }()
	process, err := l.spawn(ctx, r.Network, goRead, reportWrite)
	if err := errors.Join(err, goRead.Close(), reportWrite.Close()); err != nil {
		return err
	}
	if r.Process, err = l.connect(ctx, r, process.Pid); err != nil {
		return errors.Join(err, process.Kill())
	}
	if _, err := goWrite.Write([]byte{1}); err != nil {
		return fmt.Errorf("let the node start: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = reportRead.Close() })
	defer stop()
	if err := l.follow(ctx, json.NewDecoder(reportRead)); err != nil {
		return err
	}
	return l.openEgress(ctx, r)
}

func (l *launcher) spawn(ctx context.Context, n layout.Network, goRead, reportWrite *os.File) (*os.Process, error) {
	log, err := os.Create(l.dir.Log("init"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// The node outlives this command.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), l.dir.Bin("cluster"), enterArg, string(l.dir), strconv.Itoa(n.Slot))
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{goRead, reportWrite}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS,
	}
	err = cmd.Start()
	if errors.Is(err, syscall.EPERM) {
		return nil, fmt.Errorf("the kernel refuses new namespaces, as it does in unprivileged containers: "+
			"use a virtual machine or a privileged container: %w", err)
	}
	return cmd.Process, err
}

// connect records the process first: whatever fails from then on can be cleared by "down".
func (l *launcher) connect(ctx context.Context, r layout.Record, pid int) (layout.Process, error) {
	process, err := layout.Identify(pid)
	if err != nil {
		return process, err
	}
	r.Process = process
	if err := l.dir.SaveRecord(r); err != nil {
		return process, err
	}
	if err := node.JoinCgroups(r.Network.Name(), pid); err != nil {
		return process, err
	}
	return process, node.JoinLink(ctx, r.Network, pid)
}

// follow shows each stage of the start as it is reported.
func (l *launcher) follow(ctx context.Context, reports *json.Decoder) error {
	for _, stage := range node.Stages() {
		err := l.progress.step("Starting "+strings.Join(stage, ", "), func() error {
			var r node.Report
			err := reports.Decode(&r)
			switch {
			case ctx.Err() != nil:
				return errors.New("interrupted")
			case errors.Is(err, io.EOF):
				return l.withLog("init", errors.New("the node's init ended"))
			case err != nil:
				return fmt.Errorf("follow the start: %w", err)
			case r.Reason != "":
				return l.withLog(r.Failed, fmt.Errorf("%s did not start: %s", r.Failed, r.Reason))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withLog adds the end of a component's log to an error, and where to read on.
func (l *launcher) withLog(component string, err error) error {
	content, readErr := os.ReadFile(l.dir.Log(component))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return fmt.Errorf("%w\n%s\nThe whole log is in %s", err, tail(string(content), shownLines), l.dir.Log(component))
}
