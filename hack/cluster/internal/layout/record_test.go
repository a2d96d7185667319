package layout

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestStartOf(t *testing.T) {
	const rest = " 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 142757 1000 100"
	tests := map[string]struct {
		stat string
		want uint64
		err  error
	}{
		"a running program":               {"42 (cluster) S 0" + rest, 142757, nil},
		"a name with spaces and brackets": {"42 (a) b (c) R 0" + rest, 142757, nil},
		"a zombie":                        {"42 (cluster) Z 0" + rest, 0, errEnded},
		"a dead process":                  {"42 (cluster) X 0" + rest, 0, errEnded},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := startOf(test.stat)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %d and error %v, want %d and error %v", got, err, test.want, test.err)
			}
		})
	}
	if _, err := startOf("42 (cluster) S"); err == nil {
		t.Error("half a status was read without an error")
	}
}

func TestAlive(t *testing.T) {
	self, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("this process is taken for dead")
	}
	rebooted, reused := self, self
	rebooted.Boot = "another"
	reused.Started++
	if forgotten, err := rebooted.Forgotten(); rebooted.Alive() || !forgotten || err != nil {
		t.Errorf("a process of an earlier boot is taken for this one (error %v)", err)
	}
	if forgotten, err := self.Forgotten(); forgotten || err != nil {
		t.Errorf("this process is taken for one of an earlier boot (error %v)", err)
	}
	if reused.Alive() {
		t.Error("an earlier process with the same id is taken for this one")
	}
	if (Process{}).Alive() {
		t.Error("no process is taken for a live one")
	}
}

func TestEndedChildIsNotAlive(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child, err := Identify(cmd.Process.Pid)
	if err != nil || !child.Alive() {
		t.Fatalf("a running child is taken for dead (error %v)", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it ends by a signal, which is what was asked for
	if child.Alive() {
		t.Error("a killed child is taken for alive")
	}
}

func TestRecordSurvivesTheDisk(t *testing.T) {
	dir := Dir(t.TempDir())
	if _, found, err := dir.Record(); found || err != nil {
		t.Fatalf("an empty directory has a record: %t, error %v", found, err)
	}
	want := Record{
		Network: Network{3, "cafe"}, Process: Process{42, 7, "boot"}, Complete: true,
		Egress: &Egress{Resolvers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, ForwardingWasOff: true},
	}
	if err := dir.SaveRecord(want); err != nil {
		t.Fatal(err)
	}
	got, found, err := dir.Record()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || !found || err != nil {
		t.Errorf("found %t, error %v, record (-want +got):\n%s", found, err, diff)
	}
}

func TestEqualEgress(t *testing.T) {
	first, second := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	tests := map[string]struct {
		a, b *Egress
		want bool
	}{
		"both closed":              {nil, nil, true},
		"one open":                 {&Egress{}, nil, false},
		"the other open":           {nil, &Egress{}, false},
		"the same resolvers":       {&Egress{Resolvers: []netip.Addr{first, second}}, &Egress{[]netip.Addr{first, second}, true}, true},
		"another order to ask in":  {&Egress{Resolvers: []netip.Addr{first, second}}, &Egress{Resolvers: []netip.Addr{second, first}}, false},
		"the machine moved houses": {&Egress{Resolvers: []netip.Addr{first}}, &Egress{Resolvers: []netip.Addr{second}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.a.Equal(test.b); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestDamagedRecordIsNamed(t *testing.T) {
	dir := Dir(t.TempDir())
	if err := os.WriteFile(dir.record(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Record(); err == nil || !strings.Contains(err.Error(), dir.record()) {
		t.Errorf("error %v does not name the damaged file", err)
	}
}

func TestWhatOutlivesACluster(t *testing.T) {
	dir := Dir("/c")
	for _, kept := range []string{dir.Bin(NodeProgram), dir.Containerd(), dir.Log("etcd"), dir.Lock()} {
		for _, removed := range dir.Ephemeral() {
			if strings.HasPrefix(kept+"/", removed+"/") {
				t.Errorf("%s ends with the cluster, since %s does", kept, removed)
			}
		}
	}
}
