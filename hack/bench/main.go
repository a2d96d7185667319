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
	"slices"
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
	"github.com/sandkeep/sandkeep/hack/install"
)

// cleanUpTime bounds what is done at the end, also after an interrupt.
const cleanUpTime = 5 * time.Minute

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
	install.Source
	progress *install.Progress
	// abort ends the benchmark for a reason.
	abort  context.CancelCauseFunc
	config *rest.Config
	client client.WithWatch
	// scratch is a folder for the time of the benchmark.
	scratch string
	manager *managerProcess
	// podSpec is that of the pod which the manager made for the first Session.
	podSpec corev1.PodSpec
	report  report
	atEnd   []step
}

// step is one piece of work.
type step struct {
	title string
	work  func(ctx context.Context, detail io.Writer) error
}

func run(ctx context.Context, out io.Writer, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	b := &bench{options: o, progress: &install.Progress{Out: out}}
	if b.Source, err = install.SourceHere(); err != nil {
		return err
	}
	ctx, b.abort = context.WithCancelCause(ctx)
	defer b.abort(nil)
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { err = errors.Join(err, b.cleanUp(ctx)) }()
	if err := b.perform(ctx); err != nil {
		return err
	}
	return b.tell(out)
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
	for _, s := range []step{
		{"Build the manager, and kwok, which takes minutes the first time", b.build},
		{"Connect, and apply the Kinds of this checkout from config/crd", b.applyKinds},
		{"See that nobody is at work, and put a deployed manager to sleep", b.takeOver},
		{fmt.Sprintf("Start %d fake nodes", b.nodes), b.startNodes},
		{"Start the manager of this checkout, and run one Session to warm up", b.startManager},
		{fmt.Sprintf("Baseline: create %d bare pods", b.sessions), b.runBaseline},
		{fmt.Sprintf("Create %d Sessions", b.sessions), b.runSessions},
	} {
		if err := b.progress.Step(s.title, func(detail io.Writer) error { return s.work(ctx, detail) }); err != nil {
			return reason(ctx, err)
		}
	}
	return nil
}

// reason is why a piece of work failed: where it was cut short, the cause of that says more than its own error.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// cleanUp undoes what was done, the last first. An interrupt does not end it, but a second one does.
func (b *bench) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	var errs []error
	for _, s := range slices.Backward(b.atEnd) {
		errs = append(errs, b.progress.Step(s.title, func(detail io.Writer) error { return s.work(ctx, detail) }))
	}
	return errors.Join(errs...)
}

// undo remembers a piece of work for the end.
func (b *bench) undo(title string, work func(ctx context.Context, detail io.Writer) error) {
	b.atEnd = append(b.atEnd, step{title, work})
}

// applyKinds makes the API server know what the manager of this checkout works on. The Kinds stay, since others may use them.
func (b *bench) applyKinds(ctx context.Context, _ io.Writer) error {
	var err error
	if b.config, err = b.Config(); err != nil {
		return err
	}
	b.config.QPS = -1 // a limit on our side is not what is to be measured
	if b.client, err = client.NewWithWatch(b.config, client.Options{Scheme: scheme()}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	kinds, err := kindsIn(b.path("config", "crd", "bases"))
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
