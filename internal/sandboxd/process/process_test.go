package process

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"os/exec"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		stat string
		want entry
		ok   bool
	}{
		"a process":                 {"12 (sh) S 3 12 12 0", entry{pid: 12, parent: 3}, true},
		"a dead one":                {"12 (sh) Z 3 12", entry{pid: 12, parent: 3, zombie: true}, true},
		"a name with a parenthesis": {"12 (a) S 1 (b) R 3 12", entry{pid: 12, parent: 3}, true},
		"nothing":                   {"", entry{}, false},
		"half a line":               {"12 (sh", entry{}, false},
		"no parent":                 {"12 (sh) S", entry{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseStat([]byte(tt.stat))
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestBelow(t *testing.T) {
	entries := []entry{{pid: 1}, {pid: 2, parent: 1}, {pid: 3, parent: 2, zombie: true}, {pid: 4, parent: 3}, {pid: 5}, {pid: 6, parent: 5}, {pid: 7, parent: 7}}
	var got []int
	for _, e := range below(entries, 1) {
		got = append(got, e.pid)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int{2, 3, 4}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		script string
		killed syscall.Signal
		code   int
	}{
		"one that ends in order":   {"trap 'exit 7' TERM; echo; while :; do sleep 0.01; done", 0, 7},
		"one that ignores SIGTERM": {"trap '' TERM; echo; while :; do sleep 0.01; done", syscall.SIGKILL, -1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tree := NewTree()
			cmd := exec.Command("/bin/sh", "-c", tt.script)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			p, err := tree.Start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = out.Read(make([]byte, 1))
			p.Stop(context.Background(), 500*time.Millisecond)
			if code, signal := p.Exit(); code != tt.code || signal != tt.killed {
				t.Errorf("ended with %d, signal %v", code, signal)
			}
			if len(tree.own) != 0 {
				t.Errorf("still remembered: %v", tree.own)
			}
		})
	}
}

func TestStopNeedsNoPatienceOnceTheContextHasEnded(t *testing.T) {
	tree := NewTree()
	p, err := tree.Start(exec.Command("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Stop(ctx, time.Hour)
	<-p.Done()
}
