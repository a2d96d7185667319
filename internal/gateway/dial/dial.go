package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	// defaultTimeout is how long all attempts of one dial may take together.
	defaultTimeout = 30 * time.Second
	// minAttempt is what one address gets even when a name has many.
	minAttempt = 2 * time.Second
	// maxAttempts bounds how many addresses of a name are tried; all of them are looked at.
	maxAttempts = 8
)

// Resolver finds the addresses of a name; net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Prefixes are addresses that change while the gateway runs. An error is that they are not known.
type Prefixes func(context.Context) ([]netip.Prefix, error)

// Dialer connects to one endpoint of a provider. The zero value connects to public addresses only.
type Dialer struct {
	// AllowPrivate lets private and reserved addresses through as well. Local, Metadata, Tunnel and Forbidden ones never are.
	AllowPrivate bool
	// Forbidden are never connected to: the addresses of the API server and our own, and, where a cluster has one, its own NAT64 prefix.
	Forbidden []netip.Prefix
	// ForbiddenNow are further ones, which are asked for at each dial; nil for none. While they are not known, nothing is dialled.
	ForbiddenNow Prefixes
	// Resolver finds addresses. When nil, it is net.DefaultResolver.
	Resolver Resolver
	// Timeout bounds a dial with all its attempts. When zero, it is 30 s.
	Timeout time.Duration

	// connect stands in for the network in tests.
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// Refused is the error of a dial that must not happen.
type Refused struct {
	// Host is the name or address that was asked for.
	Host string
	// Addr is the address that it leads to.
	Addr netip.Addr
	// Why says what is wrong with the address.
	Why Reason
}

// Error says what to do.
func (r *Refused) Error() string {
	text := fmt.Sprintf("%s leads to %s, %s", strconv.Quote(r.Host), r.Addr, r.Why)
	if r.Why == Private {
		return text + `; set "allowPrivate" on the endpoint if the service is in your own network`
	}
	return text + ", which the gateway never connects to; ask whoever manages the APIProvider to name another host"
}

// DialContext connects by TCP. A name is resolved at each dial; when any one of its addresses is refused, so is the name, since a service that
// mixes good addresses with bad ones is not to be trusted with either. The error is then a *Refused.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(d.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err = d.informed(ctx)
	if err != nil {
		return nil, err
	}
	addrs, err := d.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := d.check(host, addr); err != nil {
			return nil, err
		}
	}
	addrs = addrs[:min(len(addrs), maxAttempts)]
	return d.dialFirst(ctx, max(timeout/time.Duration(len(addrs)), minAttempt), network, host, port, addrs)
}

// informed is the Dialer that knows what is forbidden now.
func (d *Dialer) informed(ctx context.Context) (*Dialer, error) {
	if d.ForbiddenNow == nil {
		return d, nil
	}
	more, err := d.ForbiddenNow(ctx)
	if err != nil {
		return nil, fmt.Errorf("find out what must not be dialled: %w", err)
	}
	informed := *d
	informed.Forbidden = slices.Concat(d.Forbidden, more)
	return &informed, nil
}

// families are the kinds of addresses of the networks that can be dialled.
var families = map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}

// resolve finds the addresses of a host, at least one.
func (d *Dialer) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	family, ok := families[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	addrs, err := resolver.LookupNetIP(ctx, family, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// check refuses an address that must not be connected to.
func (d *Dialer) check(host string, addr netip.Addr) error {
	why := d.reason(addr)
	if why == none {
		return nil
	}
	return &Refused{Host: host, Addr: addr, Why: why}
}

// reason says what is wrong with an address, both as it is written and as what it stands for.
func (d *Dialer) reason(addr netip.Addr) Reason {
	meant := plain(addr)
	for _, prefix := range d.Forbidden {
		if prefix = unmapped(prefix); prefix.Contains(meant) || prefix.Contains(addr.WithZone("")) {
			return Forbidden
		}
	}
	why := classify(meant)
	if why == Private && d.AllowPrivate {
		return none
	}
	return why
}

// dialFirst connects to the first address that answers.
func (d *Dialer) dialFirst(ctx context.Context, each time.Duration, network, host, port string, addrs []netip.Addr) (net.Conn, error) {
	connect := d.connect
	if connect == nil {
		connect = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true}, ControlContext: d.control(host)}).DialContext
	}
	var errs []error
	for _, addr := range addrs {
		attempt, cancel := context.WithTimeout(ctx, each)
		conn, err := connect(attempt, network, net.JoinHostPort(addr.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// control looks once more at the address, right before the system connects to it: whatever a later change makes of the way there, this is the
// last word.
func (d *Dialer) control(host string) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return d.check(host, to.Addr())
	}
}
