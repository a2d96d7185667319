// Package operator is what the programs that run in the cluster have in common: flags, logs, metrics, probes and leader election.
package operator

import (
	"context"
	"flag"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Flags are those of every program.
type Flags struct {
	metricsAddress, probeAddress string
	leaderElect                  bool
	zap                          zap.Options
}

// Bind defines the flags. Metrics are served at metricsAddress unless a flag says otherwise.
func (f *Flags) Bind(set *flag.FlagSet, metricsAddress string) {
	set.StringVar(&f.metricsAddress, "metrics-bind-address", metricsAddress, "address of the metrics, served by https to who may read them; 0 for none")
	set.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	f.zap.BindFlags(set)
}

// BindLeaderElection defines the flag of programs of which one replica works.
func (f *Flags) BindLeaderElection(set *flag.FlagSet) {
	set.BoolVar(&f.leaderElect, "leader-elect", false, "work only while holding the leader lease, for more than one replica")
}

// Options are what the flags say, for a program that watches as cached says. The name of its Lease is lease; empty where every replica works.
func (f *Flags) Options(lease string, cached cache.Options) ctrl.Options {
	return ctrl.Options{
		Scheme: scheme(),
		Metrics: metricsserver.Options{
			BindAddress: f.metricsAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		HealthProbeBindAddress:        f.probeAddress,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              lease,
		LeaderElectionReleaseOnCancel: lease != "",
		Cache:                         cached,
	}
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// Run makes a manager of a program, has setUp give it its work, and works until ctx ends.
func (f *Flags) Run(ctx context.Context, version string, o ctrl.Options, setUp func(ctrl.Manager) error) error {
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&f.zap)))
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), o)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := setUp(mgr); err != nil {
		return err
	}
	mgr.GetLogger().Info("Starting", "version", version)
	return mgr.Start(ctx)
}
