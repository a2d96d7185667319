// Package process starts the processes of a sandbox and leaves none behind.
//
// sandboxd is one process, also as PID 1: the kernel lets nothing in the sandbox kill PID 1 with SIGKILL, so that a hostile
// agent, which runs with the same uid, cannot take the report away by killing a worker beside a tiny init. The price is
// that two parties wait for children: os/exec for those that were started here, and the reaper for orphans that the kernel
// hands to PID 1. They never race, because the reaper asks for single pids only, never for "any child", and because a
// child is registered under the same lock under which the reaper looks.
package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is every process that was started through it, and everything that those started in turn.
type Tree struct {
	mu   sync.Mutex
	own  map[int]bool
	sole bool
	wake chan struct{}
}

// NewTree is a Tree that knows its own children only: it kills process groups and reaps nothing that it did not start.
func NewTree() *Tree { return &Tree{own: map[int]bool{}, wake: make(chan struct{}, 1)} }

// AdoptOrphans makes this process the parent of every orphan below it, whether or not it is PID 1, and reaps them until ctx
// ends. It is for a process that is sandboxd and nothing else: children started in any other way would be reaped too.
func (t *Tree) AdoptOrphans(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	t.sole = true
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(deaths)
		for {
			select {
			case <-ctx.Done():
				return
			case <-deaths:
			case <-t.wake:
			}
			t.reap()
		}
	}()
	return nil
}

// reap collects dead orphans. Children that os/exec waits for are left alone.
func (t *Tree) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, pid := range children(os.Getpid()) {
		if !t.own[pid] {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// Start starts cmd in a process group of its own.
func (t *Tree) Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	t.own[cmd.Process.Pid] = true
	go t.wait(p)
	return p, nil
}

// wait ends with the process. The reaper is woken, because it may have passed over an orphan that got the same pid again.
func (t *Tree) wait(p *Process) {
	p.err = p.cmd.Wait()
	t.mu.Lock()
	delete(t.own, p.cmd.Process.Pid)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	close(p.done)
}

// sweepInterval is the pause between two looks at what is still alive; SIGKILL usually leaves nothing for the second.
const sweepInterval = 10 * time.Millisecond

// errSurvivors is returned when SIGKILL has not ended everything in time.
var errSurvivors = errors.New("processes outlived SIGKILL")

// KillRest ends everything that is left below this process, and reaps it: daemons that the agent forked, tools that it left
// running.
func (t *Tree) KillRest(ctx context.Context) error {
	if !t.sole {
		return nil
	}
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		rest := below(table(), os.Getpid())
		if len(rest) == 0 {
			return nil
		}
		for _, e := range rest {
			_ = syscall.Kill(e.pid, syscall.SIGKILL)
		}
		t.reap()
		select {
		case <-ctx.Done():
			return errSurvivors
		case <-tick.C:
		}
	}
}

// Process is one started process.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Done is closed when the process has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is what os/exec's Wait returned; it may be asked for once Done is closed.
func (p *Process) Err() error { return p.err }

// Pid is the process's id, which is its group's too.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends sig to the whole process group.
func (p *Process) Signal(sig syscall.Signal) { _ = syscall.Kill(-p.Pid(), sig) }

// Stop ends the process group: SIGTERM, and SIGKILL once patience is over or ctx has ended. It returns when the process is gone.
func (p *Process) Stop(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Exit says how the process ended: its exit code, or the signal that killed it.
func (p *Process) Exit() (code int, killedBy syscall.Signal) {
	state := p.cmd.ProcessState
	if state == nil {
		return -1, 0
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -1, status.Signal()
	}
	return state.ExitCode(), 0
}
