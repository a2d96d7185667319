package dial

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReason(t *testing.T) {
	cluster := prefixes("10.96.0.1/32", "::ffff:10.244.0.0/112", "2600:1900::/28", "34.1.2.3/32")
	tests := map[string]struct {
		addr               string
		public, privateToo Reason
	}{
		"a public address":                        {"104.18.6.192", none, none},
		"a public address of IPv6":                {"2607:6bc0::10", none, none},
		"a public address, mapped":                {"::ffff:104.18.6.192", none, none},
		"a public address behind NAT64":           {"64:ff9b::6812:6c0", none, none},
		"loopback":                                {"127.0.0.1", Local, Local},
		"another loopback":                        {"127.255.255.254", Local, Local},
		"loopback of IPv6":                        {"::1", Local, Local},
		"loopback, mapped":                        {"::ffff:127.0.0.1", Local, Local},
		"loopback, compatible":                    {"::127.0.0.1", Tunnel, Tunnel},
		"loopback, translated":                    {"::ffff:0:127.0.0.1", Tunnel, Tunnel},
		"loopback behind NAT64":                   {"64:ff9b::127.0.0.1", Local, Local},
		"loopback behind a local NAT64":           {"64:ff9b:1::127.0.0.1", Tunnel, Tunnel},
		"loopback by 6to4":                        {"2002:7f00:1::", Tunnel, Tunnel},
		"loopback by Teredo":                      {"2001:0:4136:e378:8000:63bf:80ff:fffe", Tunnel, Tunnel},
		"loopback by ISATAP":                      {"2607:6bc0::5efe:127.0.0.1", Tunnel, Tunnel},
		"loopback by a global ISATAP":             {"2607:6bc0::200:5efe:127.0.0.1", Tunnel, Tunnel},
		"unspecified, which Linux takes as local": {"0.0.0.0", Local, Local},
		"this network":                            {"0.1.2.3", Local, Local},
		"unspecified of IPv6":                     {"::", Local, Local},
		"link-local":                              {"169.254.1.1", Local, Local},
		"link-local of IPv6":                      {"fe80::1", Local, Local},
		"an interface":                            {"fe80::1%eth0", Local, Local},
		"an interface with a public address":      {"2607:6bc0::10%eth0", Local, Local},
		"multicast":                               {"239.1.1.1", Local, Local},
		"multicast of IPv6":                       {"ff02::1", Local, Local},
		"broadcast":                               {"255.255.255.255", Local, Local},
		"metadata":                                {"169.254.169.254", Metadata, Metadata},
		"metadata, mapped":                        {"::ffff:a9fe:a9fe", Metadata, Metadata},
		"metadata behind NAT64":                   {"64:ff9b::a9fe:a9fe", Metadata, Metadata},
		"metadata by 6to4":                        {"2002:a9fe:a9fe::1", Tunnel, Tunnel},
		"metadata of AWS by IPv6":                 {"fd00:ec2::254", Metadata, Metadata},
		"pod identity of AWS by IPv6":             {"fd00:ec2::23", Metadata, Metadata},
		"metadata of Google by IPv6":              {"fd20:ce::254", Metadata, Metadata},
		"metadata of Alibaba, in CGNAT":           {"100.100.100.200", Metadata, Metadata},
		"metadata of Azure, a public address":     {"168.63.129.16", Metadata, Metadata},
		"metadata of Oracle":                      {"192.0.0.192", Metadata, Metadata},
		"RFC 1918, ten":                           {"10.0.0.7", Private, none},
		"RFC 1918, 172":                           {"172.31.255.255", Private, none},
		"RFC 1918, 192":                           {"192.168.1.1", Private, none},
		"RFC 1918, mapped":                        {"::ffff:10.0.0.7", Private, none},
		"RFC 1918 behind NAT64":                   {"64:ff9b::10.0.0.7", Private, none},
		"right after RFC 1918":                    {"172.32.0.1", none, none},
		"CGNAT":                                   {"100.64.0.1", Private, none},
		"ULA":                                     {"fd12:3456::1", Private, none},
		"site-local, long given up":               {"fec0::1", Private, none},
		"documentation":                           {"192.0.2.1", Private, none},
		"documentation of IPv6":                   {"2001:db8::1", Private, none},
		"documentation of IPv6, newer":            {"3fff::1", Private, none},
		"benchmarks":                              {"198.19.0.1", Private, none},
		"reserved":                                {"240.0.0.1", Private, none},
		"discard":                                 {"100::1", Private, none},
		"outside of what IANA hands out":          {"4000::1", Private, none},
		"the API server":                          {"10.96.0.1", Forbidden, Forbidden},
		"the API server, mapped":                  {"::ffff:10.96.0.1", Forbidden, Forbidden},
		"the API server behind NAT64":             {"64:ff9b::10.96.0.1", Forbidden, Forbidden},
		"a pod, forbidden by a mapped prefix":     {"10.244.3.4", Forbidden, Forbidden},
		"a public address of our own":             {"34.1.2.3", Forbidden, Forbidden},
		"a public address of our own, IPv6":       {"2600:1900::5", Forbidden, Forbidden},
		"our own, with a zone":                    {"2600:1900::5%eth0", Forbidden, Forbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			addr := netip.MustParseAddr(tt.addr)
			if got := (&Dialer{Forbidden: cluster}).reason(addr); got != tt.public {
				t.Errorf("got %q, want %q", got, tt.public)
			}
			if got := (&Dialer{Forbidden: cluster, AllowPrivate: true}).reason(addr); got != tt.privateToo {
				t.Errorf("with allowPrivate: got %q, want %q", got, tt.privateToo)
			}
		})
	}
	if got := classify(netip.Addr{}); got != Local {
		t.Errorf("no address: got %q", got)
	}
}

// names are what an injected resolver knows; a name's answers are used up from the first to the last, which stays.
type names map[string][][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	return answers[0], nil
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// dialled is a Dialer without a network, and what it connected to. Addresses of 1.0.0.0/8 do not answer.
func dialled(n names) (*Dialer, *[]string) {
	var to []string
	return &Dialer{Resolver: n, connect: func(_ context.Context, _, address string) (net.Conn, error) {
		to = append(to, address)
		if strings.HasPrefix(address, "1.") {
			return nil, errors.New("no answer")
		}
		near, _ := net.Pipe()
		return near, nil
	}}, &to
}

func TestDialContext(t *testing.T) {
	many := make([]netip.Addr, 100)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{1, 1, 1, byte(i)})
	}
	n := func() names {
		return names{
			"good.example":  {addrs("104.18.6.192", "2607:6bc0::10")},
			"half.example":  {addrs("1.2.3.4", "104.18.6.192")},
			"mixed.example": {addrs("104.18.6.192", "127.0.0.1")},
			"none.example":  {nil},
			"many.example":  {many},
			"127.1":         {addrs("127.0.0.1")},
		}
	}
	tests := map[string]struct {
		network, address string
		want             []string
		refused          *Refused
		err              string
	}{
		"a name":                                {address: "good.example:443", want: []string{"104.18.6.192:443"}},
		"an address":                            {address: "104.18.6.192:443", want: []string{"104.18.6.192:443"}},
		"an address of IPv6":                    {address: "[2607:6bc0::10]:443", want: []string{"[2607:6bc0::10]:443"}},
		"the first address does not answer":     {address: "half.example:443", want: []string{"1.2.3.4:443", "104.18.6.192:443"}},
		"one bad address spoils the name":       {address: "mixed.example:443", refused: &Refused{"mixed.example", addrs("127.0.0.1")[0], Local}},
		"a bad address":                         {address: "169.254.169.254:80", refused: &Refused{"169.254.169.254", addrs("169.254.169.254")[0], Metadata}},
		"an address in the old way":             {address: "127.1:80", refused: &Refused{"127.1", addrs("127.0.0.1")[0], Local}},
		"a mapped address":                      {address: "[::ffff:127.0.0.1]:80", refused: &Refused{"::ffff:127.0.0.1", addrs("::ffff:127.0.0.1")[0], Local}},
		"an unknown name":                       {address: "gone.example:443", err: "no such host"},
		"a name without addresses":              {address: "none.example:443", err: "no addresses"},
		"no port":                               {address: "good.example", err: "missing port"},
		"a socket of the machine":               {network: "unix", address: "/run/x.sock:1", err: "unknown network"},
		"datagrams":                             {network: "udp", address: "good.example:443", err: "unknown network"},
		"of many addresses only some are tried": {address: "many.example:443", want: make([]string, maxAttempts), err: "no answer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, to := dialled(n())
			if tt.network == "" {
				tt.network = "tcp"
			}
			conn, err := d.DialContext(t.Context(), tt.network, tt.address)
			var refused *Refused
			errors.As(err, &refused)
			if diff := cmp.Diff(tt.refused, refused, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			if tt.refused == nil && (conn == nil) != (tt.err != "") || tt.err != "" && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if len(*to) != len(tt.want) || tt.err == "" && !cmp.Equal(tt.want, *to) {
				t.Errorf("connected to %v, want %v", *to, tt.want)
			}
		})
	}
}

func TestRebindingIsSeenAtEachDial(t *testing.T) {
	d, to := dialled(names{"rebind.example": {addrs("104.18.6.192"), addrs("10.96.0.1")}})
	if _, err := d.DialContext(t.Context(), "tcp", "rebind.example:443"); err != nil {
		t.Fatal(err)
	}
	_, err := d.DialContext(t.Context(), "tcp", "rebind.example:443")
	if refused := new(Refused); !errors.As(err, &refused) || refused.Why != Private {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"104.18.6.192:443"}, *to); diff != "" {
		t.Error(diff)
	}
}

func TestMessagesSayWhatToDo(t *testing.T) {
	tests := map[string]struct {
		err  Refused
		want string
	}{
		"private": {Refused{"llm.acme.example", netip.MustParseAddr("10.0.0.7"), Private},
			`"llm.acme.example" leads to 10.0.0.7, a private or reserved address; set "allowPrivate" on the endpoint if the service is in your own network`},
		"local": {Refused{"evil.example", netip.MustParseAddr("::1"), Local},
			`"evil.example" leads to ::1, an address of this machine or its link, which the gateway never connects to; ask whoever manages the APIProvider to name another host`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRealLoopbackIsNotReached goes by names and addresses, and past the first check, to a listener that fails the test.
func TestRealLoopbackIsNotReached(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	d := &Dialer{AllowPrivate: true, Resolver: names{"evil.example": {addrs("127.0.0.1")}}}
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "evil.example"} {
		res, err := client.Get("http://" + net.JoinHostPort(strings.Trim(host, "[]"), port))
		if refused := new(Refused); !errors.As(err, &refused) {
			t.Errorf("%s: got %v", host, err)
		}
		if res != nil {
			res.Body.Close()
		}
	}
	if _, err := d.dialFirst(t.Context(), time.Second, "tcp", "evil.example", port, addrs("127.0.0.1")); !errors.As(err, new(*Refused)) {
		t.Errorf("past the first check: %v", err)
	}
}

// TestRealPrivateAddressIsReached shows that what is allowed works, where this machine has a private address.
func TestRealPrivateAddressIsReached(t *testing.T) {
	host := privateAddress(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	resolver := names{"llm.acme.example": {addrs(host)}}
	conn, err := (&Dialer{AllowPrivate: true, Resolver: resolver}).DialContext(t.Context(), "tcp", "llm.acme.example:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := (&Dialer{Resolver: resolver}).DialContext(t.Context(), "tcp", "llm.acme.example:"+port); !errors.As(err, new(*Refused)) {
		t.Errorf("without allowPrivate: %v", err)
	}
}

func privateAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && classify(prefix.Addr()) == Private {
			return prefix.Addr().String()
		}
	}
	t.Skip("this machine has no private address")
	return ""
}

func TestAddressesThatHangShareTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Dialer{Timeout: 30 * time.Second, Resolver: names{"slow.example": {addrs("1.1.1.1", "1.1.1.2", "1.1.1.3")}}}
		tried := 0
		d.connect = func(ctx context.Context, _, _ string) (net.Conn, error) {
			tried++
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if _, err := d.DialContext(t.Context(), "tcp", "slow.example:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); tried != 3 || took != 30*time.Second {
			t.Errorf("%d attempts in %s", tried, took)
		}
	})
}

// FuzzReason holds what is refused to what the standard library says of an address, in each way to write it.
func FuzzReason(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "64:ff9b::10.0.0.1", "2002:7f00:1::", "104.18.6.192", "::ffff:0.0.0.0"} {
		a := netip.MustParseAddr(text).As16()
		f.Add(a[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 16 {
			return
		}
		addr := netip.AddrFrom16([16]byte(b))
		v4 := netip.AddrFrom4([4]byte(b[12:16]))
		for _, allow := range []bool{false, true} {
			d := &Dialer{AllowPrivate: allow}
			for _, a := range []netip.Addr{addr, addr.Unmap(), v4} {
				never := a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || !a.IsGlobalUnicast()
				if never && d.reason(a) == none {
					t.Errorf("%s passes", a)
				}
				if !allow && (a.IsPrivate() || a.Unmap().IsPrivate()) && d.reason(a) == none {
					t.Errorf("%s passes as public", a)
				}
			}
			want := d.reason(v4)
			mapped := netip.AddrFrom16(v4.As16())
			behind := nat64.Addr().As16()
			copy(behind[12:], b[12:16])
			for _, a := range []netip.Addr{mapped, netip.AddrFrom16(behind)} {
				if got := d.reason(a); got != want {
					t.Errorf("%s: got %q, and %q for %s", a, got, want, v4)
				}
			}
			sixToFour := netip.AddrFrom16([16]byte{0x20, 0x02, b[12], b[13], b[14], b[15]})
			if d.reason(sixToFour) == none {
				t.Errorf("%s passes", sixToFour)
			}
		}
	})
}

func BenchmarkReason(b *testing.B) {
	d := &Dialer{Forbidden: prefixes("10.96.0.1/32", "10.244.0.0/16")}
	addr := netip.MustParseAddr("2607:6bc0::10")
	for b.Loop() {
		if d.reason(addr) != none {
			b.Fatal("refused")
		}
	}
}

// TestWhatIsForbiddenNowIsAskedForAtEachDial: the addresses of pods change while the gateway runs.
func TestWhatIsForbiddenNowIsAskedForAtEachDial(t *testing.T) {
	var now []netip.Prefix
	var unknown error
	d := &Dialer{
		AllowPrivate: true, Forbidden: prefixes("10.96.0.1/32"),
		ForbiddenNow: func(context.Context) ([]netip.Prefix, error) { return now, unknown },
		connect:      func(context.Context, string, string) (net.Conn, error) { return nil, errReached },
	}
	for _, step := range []struct {
		now     []netip.Prefix
		unknown error
		address string
		reached bool
	}{
		{nil, nil, "10.244.0.7:443", true},
		{prefixes("10.244.0.7/32"), nil, "10.244.0.7:443", false},
		{prefixes("10.244.0.7/32"), nil, "10.96.0.1:443", false},
		{prefixes("10.244.0.8/32"), nil, "10.244.0.7:443", true},
		{nil, errors.New("nobody knows"), "10.244.0.7:443", false},
	} {
		now, unknown = step.now, step.unknown
		_, err := d.DialContext(t.Context(), "tcp", step.address)
		if errors.Is(err, errReached) != step.reached || err == nil {
			t.Errorf("%s, while %v is forbidden: %v", step.address, step.now, err)
		}
	}
}

var errReached = errors.New("reached")
