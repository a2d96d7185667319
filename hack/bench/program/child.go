package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/bench/probe"
)

// endTime is how long a program may take to end when asked to.
const endTime = 15 * time.Second

// Child is a program that runs beside the benchmark.
type Child struct {
	name, logFile string
	cmd           *exec.Cmd
	stopping      atomic.Bool
	ended         chan struct{}
	probe         http.Client
}

// Start runs a program that was built; should it end by itself, the benchmark is over. Ctrl-C does not reach it, so that what is asked
// of it at the end still happens, and it does not outlive a benchmark that is killed.
func (w *Workshop) Start(name string, env []string, args ...string) (*Child, error) {
	socket := filepath.Join(w.Scratch, name+".probe")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	c := &Child{name: name, logFile: w.Cache(name + ".log"), ended: make(chan struct{}),
		probe: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: time.Minute}}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	c.cmd = exec.CommandContext(context.Background(), w.Cache(name), args...) // Stop ends it, a cancelled context would kill it
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = w.Scratch, log, log
	c.cmd.Env = append(append(os.Environ(), probe.SocketEnv+"="+socket), env...)
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
			w.Abort(fmt.Errorf("%s ended by itself: %w\n%s", name, err, c.LastWords()))
		}
	}()
	return c, nil
}

// LastWords are the end of what the program said.
func (c *Child) LastWords() string {
	text, err := os.ReadFile(c.logFile)
	if err != nil {
		return ""
	}
	return tail(string(text))
}

// Stop asks the program to end, and makes it.
func (c *Child) Stop() {
	c.stopping.Store(true)
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(endTime):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// LogName is where the program's log stays, as a person in the checkout would write it.
func (c *Child) LogName() string { return filepath.Join(".cache", "bench", filepath.Base(c.logFile)) }

// Look is what a program uses at a moment.
type Look struct {
	Resident
	// LiveHeap is what garbage collections left, in bytes, CPU the processor time since the start.
	LiveHeap   uint64
	CPU        time.Duration
	Goroutines int
}

// Look looks into a program that was built with the probe.
func (c *Child) Look(ctx context.Context) (Look, error) {
	r, err := residentOf(c.cmd.Process.Pid)
	if err != nil {
		return Look{}, err
	}
	body, err := c.Ask(ctx, probe.PathUsage) // collects garbage, so it comes after the look at what is resident
	if err != nil {
		return Look{}, err
	}
	var u probe.Usage
	err = json.Unmarshal(body, &u)
	return Look{Resident: r, LiveHeap: u.LiveHeap, CPU: u.CPU, Goroutines: u.Goroutines}, err
}

// CPU is the processor time of a program since its start. Unlike Look it costs the program nothing.
func (c *Child) CPU(ctx context.Context) (time.Duration, error) {
	body, err := c.Ask(ctx, probe.PathCPU)
	if err != nil {
		return 0, err
	}
	var used time.Duration
	err = json.Unmarshal(body, &used)
	return used, err
}

// ResetPeak forgets how much memory the program had.
func (c *Child) ResetPeak() { resetPeak(c.cmd.Process.Pid) }

// Ask asks the probe in the program.
func (c *Child) Ask(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.name+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := c.probe.Do(r)
	if err != nil {
		return nil, fmt.Errorf("look into the %s: %w", c.name, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("look into the %s: %s: %s", c.name, response.Status, body)
	}
	return body, err
}

// Profiled does work while the program's processor time is profiled into a folder; without one, it just does the work.
func (c *Child) Profiled(ctx context.Context, folder string, work func() error) error {
	if folder == "" {
		return work()
	}
	if _, err := c.Ask(ctx, probe.PathCPUStart); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return errors.Join(c.Keep(ctx, probe.PathCPUStop, folder, "cpu.pprof"), c.Keep(ctx, probe.PathHeap, folder, "heap.pprof"))
}

// Keep writes what the probe answers into a file of a folder; without a folder, it does nothing.
func (c *Child) Keep(ctx context.Context, path, folder, name string) error {
	if folder == "" {
		return nil
	}
	profile, err := c.Ask(ctx, path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), profile, 0o644)
}
