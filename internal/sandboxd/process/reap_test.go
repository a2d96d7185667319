package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleEnv makes this test's binary a process that is nothing but a Tree: one that reaps would take the children of other
// tests.
const roleEnv = "TEST_PROCESS_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func() []string{"work": reapWhileWorking, "own": reapOrphansOnly}
	if play := roles[os.Getenv(roleEnv)]; play != nil {
		fmt.Println(strings.Join(play(), "\n"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// reapWhileWorking starts many short commands, each of which leaves an orphan that dies at about the same time, and returns
// what went wrong.
func reapWhileWorking() (problems []string) {
	tree := NewTree()
	if err := tree.AdoptOrphans(context.Background()); err != nil {
		return []string{err.Error()}
	}
	var mu sync.Mutex
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				p, err := tree.Start(exec.Command("/bin/sh", "-c", "(true &) ; (true &) ; exit 3"))
				if err != nil {
					complain("start: %v", err)
					continue
				}
				<-p.Done()
				if code, signal := p.Exit(); code != 3 || signal != 0 {
					complain("exit code %d, signal %v: %v", code, signal, p.Err())
				}
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if len(children(os.Getpid())) == 0 {
			return problems
		}
	}
	complain("not reaped: %v", children(os.Getpid()))
	return problems
}

// reapOrphansOnly has two dead children that nobody has waited for yet, and one of them is somebody's.
func reapOrphansOnly() (problems []string) {
	tree := NewTree()
	var pids [2]int
	for i := range pids {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
		if err != nil {
			return []string{err.Error()}
		}
		pids[i] = pid
		for !slices.ContainsFunc(table(), func(e entry) bool { return e.pid == pid && e.zombie }) {
		}
	}
	tree.own[pids[0]] = true
	tree.reap()
	if left := children(os.Getpid()); !slices.Equal(left, pids[:1]) {
		problems = append(problems, fmt.Sprintf("left %v, want %v, whom somebody waits for", left, pids[:1]))
	}
	return problems
}

// TestReaping: the reaper takes every orphan and no child that somebody waits for.
func TestReaping(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"work", "own"} {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), roleEnv+"="+role)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "" {
			t.Errorf("%s: %v\n%.2000s", role, err, out)
		}
	}
}
