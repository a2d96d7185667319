//go:build linux

package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

func shell(name, script string, ready func(context.Context) error) component {
	return component{name, []string{"sh", "-c", script}, ready}
}

func atOnce(context.Context) error { return nil }

func never(context.Context) error { return errors.New("not yet") }

// endings are collected once for all tests, as a process can collect them in one place only.
var endings = sync.OnceValue(reap)

func newSupervisor(t *testing.T) (*supervisor, *bytes.Buffer) {
	t.Helper()
	dir := layout.Dir(t.TempDir())
	if err := os.MkdirAll(dir.Logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	var reports bytes.Buffer
	return &supervisor{dir: dir, reports: json.NewEncoder(&reports), ended: endings()}, &reports
}

func TestComponentThatEndsWhileItStartsIsNamed(t *testing.T) {
	s, _ := newSupervisor(t)
	failed, err := s.bringUp(t.Context(), []component{
		shell("waiting", "sleep 1", never),
		shell("broken", "echo no such flag; exit 3", never),
	})
	if failed != "broken" || err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("named %q with error %v", failed, err)
	}
	log, err := os.ReadFile(s.dir.Log("broken"))
	if err != nil || string(log) != "no such flag\n" {
		t.Errorf("its log is %q, error %v", log, err)
	}
}

func TestProgramThatDoesNotExistIsNamed(t *testing.T) {
	s, _ := newSupervisor(t)
	failed, err := s.bringUp(t.Context(), []component{{"absent", []string{"no-such-program"}, atOnce}})
	if failed != "absent" || err == nil {
		t.Errorf("named %q with error %v", failed, err)
	}
}

func TestComponentThatEndsLaterIsRecordedAndNotRestarted(t *testing.T) {
	s, _ := newSupervisor(t)
	if failed, err := s.bringUp(t.Context(), []component{shell("brief", "kill -9 $$", atOnce)}); err != nil {
		t.Fatalf("%s: %v", failed, err)
	}
	for noted, deadline := false, time.After(10*time.Second); !noted; {
		select {
		case e := <-s.ended: // of the component, or of a process that a test before it has left
			noted = s.note(e) != nil
		case <-deadline:
			t.Fatal("nobody noticed that it ended")
		}
	}
	if err := s.publish(); err != nil {
		t.Fatal(err)
	}
	got, err := s.dir.Components()
	if err != nil {
		t.Fatal(err)
	}
	want := []layout.Component{{Name: "brief", PID: got[0].PID, Ready: true, Exit: "killed by signal killed"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

func TestEndOfAnOrphanIsNobodysBusiness(t *testing.T) {
	s, _ := newSupervisor(t)
	s.started = []layout.Component{{Name: "etcd", PID: 7}}
	if c := s.note(ending{pid: 8}); c != nil {
		t.Errorf("the end of another process was taken for that of %s", c.Name)
	}
}

func TestReport(t *testing.T) {
	tests := map[string]struct {
		failed string
		err    error
		want   Report
	}{
		"a stage that started": {"", nil, Report{}},
		"a stage that failed":  {"etcd", errors.New("disk full"), Report{Failed: "etcd", Reason: "disk full"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, reports := newSupervisor(t)
			if err := s.report(test.failed, test.err); !errors.Is(err, test.err) {
				t.Errorf("error is %v, want %v", err, test.err)
			}
			var got Report
			if err := json.Unmarshal(reports.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}
