package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// endTime is how long a program may take to end when asked to.
const endTime = 15 * time.Second

// child is a program that runs beside the benchmark.
type child struct {
	name, logFile string
	cmd           *exec.Cmd
	stopping      atomic.Bool
	ended         chan struct{}
}

// start runs a program that was built; should it end by itself, the benchmark is over. Ctrl-C does not reach it, so that what is asked
// of it at the end still happens, and it does not outlive a benchmark that is killed.
func (b *bench) start(name string, env []string, args ...string) (*child, error) {
	c := &child{name: name, logFile: b.cache(name + ".log"), ended: make(chan struct{})}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	c.cmd = exec.CommandContext(context.Background(), b.cache(name), args...) // stop ends it, a cancelled context would kill it
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = b.scratch, log, log
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		err := c.cmd.Wait()
		_ = log.Close()
		close(c.ended)
		if !c.stopping.Load() {
			b.abort(fmt.Errorf("%s ended by itself: %w\n%s", name, err, c.lastWords()))
		}
	}()
	return c, nil
}

func (c *child) lastWords() string {
	text, err := os.ReadFile(c.logFile)
	if err != nil {
		return ""
	}
	return tail(string(text))
}

// stop asks the program to end, and makes it.
func (c *child) stop() {
	c.stopping.Store(true)
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(endTime):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// logName is where the program's log stays, as a person in the checkout would write it.
func (c *child) logName() string { return filepath.Join(".cache", "bench", filepath.Base(c.logFile)) }
