// Command bench measures how quickly the manager starts Sessions: it runs many of them on fake nodes, and beside them as many
// bare pods of the same spec. Times differ from one machine to the next; the ratios between the two are what to compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/program"
	"github.com/sandkeep/sandkeep/hack/install"
)

// options are the flags of the benchmark.
type options struct {
	sessions, nodes, clients int
	rate                     float64
	work, patience           time.Duration
	jsonFile, profiles       string
	managerArgs              []string
}

func main() {
	o := options{}
	flag.IntVar(&o.sessions, "sessions", 200, "how many Sessions, and how many bare pods")
	flag.IntVar(&o.nodes, "nodes", 4, "how many fake nodes")
	flag.IntVar(&o.clients, "clients", 8, "how many objects are being created at the same time")
	flag.Float64Var(&o.rate, "rate", 0, "how many objects are created in a second; 0 for as many as possible")
	flag.DurationVar(&o.work, "work", time.Second, "how long each agent works")
	flag.DurationVar(&o.patience, "patience", 10*time.Minute, "how long the Sessions, or the pods, may take")
	flag.StringVar(&o.jsonFile, "json", "", "file that takes the figures as JSON")
	flag.StringVar(&o.profiles, "profile", "", "folder that takes profiles of the manager: cpu.pprof and heap.pprof")
	flag.Usage = usage
	flag.Parse()
	o.managerArgs = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop()
		fmt.Fprintln(os.Stderr, "bench: cleaning up; a second interrupt ends this at once and leaves things as they are")
	})
	ctrllog.SetLogger(zap.New(zap.WriteTo(io.Discard))) // what goes wrong is returned
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go run ./hack/bench [flags] [-- flags of the manager]")
	flag.PrintDefaults()
}

// bench is one benchmark.
type bench struct {
	options
	program.Workshop
	*program.Course
	source  install.Source
	config  *rest.Config
	client  client.WithWatch
	manager *managerProcess
	// podSpec is that of the pod which the manager made for the first Session.
	podSpec corev1.PodSpec
	report  report
}

func run(ctx context.Context, out io.Writer, o options) error {
	if err := o.check(); err != nil {
		return err
	}
	return program.Alone(ctx, out, func(ctx context.Context, source install.Source, w program.Workshop, c *program.Course) error {
		b := &bench{options: o, source: source, Workshop: w, Course: c}
		if err := b.perform(ctx); err != nil {
			return err
		}
		return b.tell(out)
	})
}

func (o options) check() error {
	if o.sessions < 1 || o.nodes < 1 || o.clients < 1 {
		return errors.New("-sessions, -nodes and -clients must be at least 1")
	}
	if o.rate < 0 || o.work < 0 || o.patience <= 0 {
		return errors.New("-rate and -work must not be negative, and -patience must be more than 0")
	}
	return nil
}

// perform does the steps of the benchmark.
func (b *bench) perform(ctx context.Context) error {
	return b.Perform(ctx, []program.Step{
		{Title: "Build the manager, and kwok, which takes minutes the first time", Work: b.build},
		{Title: "Connect, and apply the Kinds of this checkout from config/crd", Work: b.applyKinds},
		{Title: "See that nobody is at work, and put a deployed manager to sleep", Work: b.takeOver},
		{Title: fmt.Sprintf("Start %d fake nodes", b.nodes), Work: b.startNodes},
		{Title: "Start the manager of this checkout, and run one Session to warm up", Work: b.startManager},
		{Title: fmt.Sprintf("Baseline: create %d bare pods", b.sessions), Work: b.runBaseline},
		{Title: fmt.Sprintf("Create %d Sessions", b.sessions), Work: b.runSessions},
	})
}

// applyKinds makes the API server know what the manager of this checkout works on. The Kinds stay, since others may use them.
func (b *bench) applyKinds(ctx context.Context, _ io.Writer) error {
	var err error
	if b.config, err = b.source.Config(); err != nil {
		return err
	}
	b.config.QPS = -1 // a limit on our side is not what is to be measured
	if b.client, err = client.NewWithWatch(b.config, client.Options{Scheme: scheme()}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	kinds, err := kindsIn(b.Path("config", "crd", "bases"))
	if err != nil {
		return err
	}
	return install.Apply(ctx, b.client, kinds)
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}
