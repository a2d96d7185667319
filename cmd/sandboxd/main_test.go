package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// maxSize is what the program may weigh: every sandbox copies it.
const maxSize = 20 << 20

// build makes the program as the image has it.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sandboxd")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestTheProgramIsSmallAndStatic(t *testing.T) {
	path := build(t)
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", stat.Size())
	if stat.Size() > maxSize {
		t.Errorf("%d bytes are more than %d", stat.Size(), maxSize)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program needs a loader: %v", p.Type)
		}
	}
}

func TestInstallCopiesTheProgram(t *testing.T) {
	path, dir := build(t), t.TempDir()
	copied := filepath.Join(dir, "sandboxd")
	if err := os.WriteFile(copied, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "install", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	original, _ := os.ReadFile(path)
	installed, err := os.ReadFile(copied)
	if err != nil || !bytes.Equal(original, installed) {
		t.Errorf("the copy differs: %v", err)
	}
	if stat, _ := os.Stat(copied); stat.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", stat.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if out, err := exec.Command(path, "install", filepath.Join(dir, "missing")).CombinedOutput(); err == nil {
		t.Errorf("installed into nothing: %s", out)
	}
}

func TestCallsThatAreNotUnderstood(t *testing.T) {
	for _, args := range [][]string{nil, {"install"}, {"install", "a", "b"}, {"ready", "x"}, {"run", "x"}, {"--help"}} {
		if code := execute(args); code != usageError {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}

func TestNotReadyWithoutAnAgent(t *testing.T) {
	if code := execute([]string{"ready"}); code != 1 {
		t.Errorf("exit code %d", code)
	}
}
