// Package apt runs apt-get side by side with other runs of it.
package apt

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"time"
)

// How long another run of apt is waited for, how often it is looked at, and how long an interrupted run may clean up after itself.
const (
	lockTime       = 5 * time.Minute
	glance         = 500 * time.Millisecond
	interruptGrace = 20 * time.Second
)

// Get runs apt-get without questions and returns what it said. The error is that of os/exec.
//
// It waits for another run to end. apt itself waits for the lock of its installations when told to, and gives up at once on that of its
// lists of packages: DPkg::Lock::Timeout, https://manpages.debian.org/apt.conf.
func Get(ctx context.Context, args ...string) (said string, err error) {
	for began := time.Now(); ; {
		said, err = run(ctx, args...)
		if err == nil || !strings.Contains(said, "Could not get lock") || time.Since(began) > lockTime {
			return said, err
		}
		select {
		case <-ctx.Done():
			return said, err
		case <-time.After(glance):
		}
	}
}

func run(ctx context.Context, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet", "--option", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	err := cmd.Run()
	return said.String(), err
}

// Install installs packages, with fresh lists where it fails with those that are there, and returns what apt-get said last.
func Install(ctx context.Context, packages ...string) (said string, err error) {
	args := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
	if said, err = Get(ctx, args...); err == nil {
		return said, nil
	}
	if said, err = Get(ctx, "update"); err != nil {
		return said, err
	}
	return Get(ctx, args...)
}
