package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/internal/apt"
)

// interruptGrace is how long an interrupted program may clean up after itself before it is killed.
const interruptGrace = 20 * time.Second

// command prepares a program that is interrupted, not killed, when ctx ends, so that it removes what it made.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	return cmd
}

// output runs cmd and returns what it printed; its complaints become part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), explain(cmd.Args[0], err, stderr.String()+stdout.String())
}

// explain turns the failure of a program into an error that ends in what the program said last.
func explain(name string, err error, said string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed: %w", name, err)
	}
	if advice := adviceFor(said); advice != "" {
		return fmt.Errorf("%s: %w; %s\n%s", name, err, advice, lastLines(said, 15))
	}
	return fmt.Errorf("%s: %w\n%s", name, err, lastLines(said, 15))
}

// adviceFor recognises the failures that a person can mend in what a program said.
func adviceFor(said string) string {
	for _, known := range []struct{ sign, advice string }{
		{"No space left on device", "free some disk space under .cache and run this again"},
		{"Could not get lock", "another apt is running: wait for it and run this again"},
		{"operation not permitted", "installing Debian takes the right to make namespaces (CAP_SYS_ADMIN): run this as root, outside of containers"},
		{"are you root", "run this as root, or have an administrator install the package"},
		{"Temporary failure resolving", "the package mirror cannot be found: check the network and apt's sources"},
		{"Could not connect", "the package mirror does not answer: check the network and apt's proxy settings"},
		{"Unable to locate package", "apt does not know the package: run apt-get update and check apt's sources"},
		{"ETARGET", "the npm registry does not have that version: check `npm config get registry`"},
		{"ENOTFOUND", "the npm registry cannot be found: check the network and `npm config get registry`"},
		{"E401", "the npm registry wants a login: run `npm login`"},
	} {
		if strings.Contains(said, known.sign) {
			return known.advice
		}
	}
	return ""
}

// diskAdvice adds what to do to an error of ours that means a full disk.
func diskAdvice(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w; free some disk space under .cache and run this again", err)
	}
	return err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// ensureProgram installs a Debian package when the program of the same name is missing.
func (b *builder) ensureProgram(ctx context.Context, program string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing and only root can install it: run `sudo apt-get install %s`", program, program)
	}
	return b.progress.step(ctx, "install "+program+" from Debian", func(ctx context.Context) error {
		said, err := apt.Install(ctx, program)
		return explain("apt-get", err, said)
	})
}

func refreshPackageLists(ctx context.Context) error {
	said, err := apt.Get(ctx, "update")
	return explain("apt-get", err, said)
}
