//go:build linux

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// patience is how long a stage may take. A busy machine with few processors needs a good part of it.
const patience = 3 * time.Minute

// supervisor starts components and records how they fare. It restarts nothing: a component that ends is a defect that
// somebody has to see.
type supervisor struct {
	dir     layout.Dir
	reports *json.Encoder
	started []layout.Component
	ended   <-chan ending
}

// ending is a process that is no more.
type ending struct {
	pid    int
	status syscall.WaitStatus
}

func (s *supervisor) run(ctx context.Context, stages [][]component) error {
	s.ended = reap()
	for _, stage := range stages {
		failed, err := s.bringUp(ctx, stage)
		if err := errors.Join(s.publish(), s.report(failed, err)); err != nil {
			return err
		}
	}
	for e := range s.ended {
		s.note(e)
		if err := s.publish(); err != nil {
			return err
		}
	}
	return errors.New("unreachable: children are collected for ever")
}

// report tells the command that waits for the start. That command stops waiting, and reading, after a failure.
func (s *supervisor) report(failed string, err error) error {
	r := Report{}
	if err != nil {
		r = Report{Failed: failed, Reason: err.Error()}
	}
	if err := s.reports.Encode(r); err != nil {
		return fmt.Errorf("report to the starting command: %w", err)
	}
	return err
}

// bringUp starts the components of a stage and waits until all are ready, or names the one that is not.
func (s *supervisor) bringUp(ctx context.Context, stage []component) (failed string, err error) {
	for _, c := range stage {
		if err := s.start(c); err != nil {
			return c.name, err
		}
	}
	deadline := time.After(patience)
	for _, c := range stage {
		if err := s.awaitReady(ctx, c, deadline); err != nil {
			return s.culprit(c.name), err
		}
	}
	return "", nil
}

// culprit prefers a component that ended over the one that was waited for.
func (s *supervisor) culprit(waitedFor string) string {
	for _, c := range s.started {
		if c.Exit != "" {
			return c.Name
		}
	}
	return waitedFor
}

func (s *supervisor) start(c component) error {
	log, err := os.Create(s.dir.Log(c.name))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	program, err := exec.LookPath(c.argv[0])
	if err != nil {
		return err
	}
	pid, err := syscall.ForkExec(program, c.argv, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	s.started = append(s.started, layout.Component{Name: c.name, PID: pid})
	return nil
}

func (s *supervisor) awaitReady(ctx context.Context, c component, deadline <-chan time.Time) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		notReady := c.ready(ctx)
		if notReady == nil {
			s.find(func(o layout.Component) bool { return o.Name == c.name }).Ready = true
			return nil
		}
		select {
		case e := <-s.ended:
			if ended := s.note(e); ended != nil {
				return fmt.Errorf("it ended while it started: %s", ended.Exit)
			}
		case <-deadline:
			return fmt.Errorf("it is not ready after %s: %w", patience, notReady)
		case <-tick.C:
		}
	}
}

// note records the end of a component; other processes of the node end without notice.
func (s *supervisor) note(e ending) *layout.Component {
	c := s.find(func(o layout.Component) bool { return o.PID == e.pid && o.Exit == "" })
	if c == nil {
		return nil
	}
	c.Exit = fmt.Sprintf("exit code %d", e.status.ExitStatus())
	if e.status.Signaled() {
		c.Exit = "killed by signal " + strings.ToLower(e.status.Signal().String())
	}
	return c
}

func (s *supervisor) find(match func(layout.Component) bool) *layout.Component {
	i := slices.IndexFunc(s.started, match)
	if i < 0 {
		return nil
	}
	return &s.started[i]
}

func (s *supervisor) publish() error { return s.dir.SaveComponents(s.started) }

// reap collects every process that ends in the node: process 1 inherits the orphans of all others.
func reap() <-chan ending {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	ended := make(chan ending, 64)
	go func() {
		for range signals {
			collect(ended)
		}
	}()
	return ended
}

func collect(ended chan<- ending) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid == 0:
			return
		default:
			ended <- ending{pid, status}
		}
	}
}
