//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

// parseUp reads the arguments of up. The flag outweighs the environment.
func parseUp(args []string, environment string) (egress bool, err error) {
	if environment != "" {
		if egress, err = strconv.ParseBool(environment); err != nil {
			return false, fmt.Errorf("EGRESS is %q: set it to 1 to let pods reach the outside network, and to 0 or nothing otherwise", environment)
		}
	}
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it all
	flags.BoolVar(&egress, "egress", egress, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("up: %w\n\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return false, fmt.Errorf("up takes no argument %q\n\n%s", flags.Arg(0), usage)
	}
	return egress, nil
}

// wantedEgress is nil unless pods shall have a way out.
func (l *launcher) wantedEgress() (*layout.Egress, error) {
	if !l.egress {
		return nil, nil //nolint:nilnil // no way out is what was asked for
	}
	resolvers, err := node.Resolvers()
	return &layout.Egress{Resolvers: resolvers}, err
}

// recall notes in a wanted way out what the machine was like before there was any.
func recall(ctx context.Context, wanted, former *layout.Egress) (err error) {
	switch {
	case wanted == nil:
	case former == nil:
		wanted.ForwardingWasOff, err = node.ForwardingWasOff(ctx)
	default:
		wanted.ForwardingWasOff = former.ForwardingWasOff
	}
	return err
}

// changeEgress gives a running cluster the wanted way out, or takes it. The record says "open" before anything is opened
// and until all is closed, so that an interrupted change is always found and ended. What pods need is applied again after.
func (l *launcher) changeEgress(ctx context.Context, r layout.Record, wanted *layout.Egress) (layout.Record, error) {
	if wanted == nil && r.Egress != nil {
		err := l.progress.step("Closing the way out for pods", func() error { return node.CloseEgress(ctx, r) })
		if err != nil {
			return r, err
		}
	}
	if err := recall(ctx, wanted, r.Egress); err != nil {
		return r, err
	}
	if !wanted.Equal(r.Egress) {
		if err := node.ConfigureAddons(l.dir, r.Network, wanted); err != nil {
			return r, err
		}
		r.Egress, r.Complete = wanted, false
		if err := l.dir.SaveRecord(r); err != nil {
			return r, err
		}
	}
	return r, l.openEgress(ctx, r)
}

// openEgress opens the way out of the record, if any. It does so in a running cluster too, since a firewall that started
// anew may have removed the rules.
func (l *launcher) openEgress(ctx context.Context, r layout.Record) error {
	if r.Egress == nil {
		return nil
	}
	err := l.progress.step("Opening a way out for pods", func() error { return node.OpenEgress(ctx, r) })
	if err != nil {
		return err
	}
	obstacles, err := node.EgressObstacles(ctx, r.Network)
	for _, o := range obstacles {
		l.progress.printf("%s\n", o)
	}
	return err
}

// describeEgress fails if the way out is no more what it was when it was opened.
func describeEgress(ctx context.Context, r layout.Record) (string, error) {
	if r.Egress == nil {
		return "Egress is closed: pods reach this machine and one another", nil
	}
	works, err := node.EgressWorks(ctx, r.Network)
	if err != nil {
		return "", err
	}
	if !works {
		return "", errors.New("egress was opened, but this machine no longer forwards for pods; mend it with: EGRESS=1 go run ./hack/cluster up")
	}
	return fmt.Sprintf("Egress is open: pods reach the outside network through this machine; DNS servers %s", r.Egress.Resolvers), nil
}
