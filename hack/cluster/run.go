//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// shownLines is how much of a failed program's output is shown.
const shownLines = 15

// runQuietly runs a program and shows its output only as part of an error.
func runQuietly(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(out.String(), shownLines))
	}
	return nil
}

// tail returns the last lines of a text, indented.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// copyFile replaces a file that may be in use.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to+".new", content, 0o755), os.Rename(to+".new", to))
}
