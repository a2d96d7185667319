package sandbox

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// withVolumes adds the volumes of a sandbox. Only what is rendered from key material is in memory; everything else is on
// disk, with a size that protects the node.
func withVolumes(spec *corev1.PodSpec, in PodInput) {
	configMap := PodName(in.Session.Name, in.Config.Session.Run)
	spec.Volumes = append(spec.Volumes,
		scratch(volumeBin, "64Mi"),
		corev1.Volume{Name: volumeConfig, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap},
		}}},
		memory(volumePrivate, "64Mi"),
		workspaceVolume(in),
		scratch(volumeHome, "4Gi"),
		scratch(volumeTmp, "4Gi"),
	)
	if in.Config.Gateway != nil {
		spec.Volumes = append(spec.Volumes, gatewayVolume())
	}
	if usesFiles(in.Config) {
		spec.Volumes = append(spec.Volumes, credentialsVolume(in.Config))
	}
}

// workspaceVolume is the Session's claim, or a directory that goes with the pod.
func workspaceVolume(in PodInput) corev1.Volume {
	if !in.Config.KeepWorkspace {
		return scratch(volumeWorkspace, defaultWorkspaceSize.String())
	}
	return corev1.Volume{Name: volumeWorkspace, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: WorkspaceName(in.Session.Name)},
	}}
}

// credentialsVolume projects one file a credential. Its sources are optional, because a failed mount shows in an Event only;
// the install container holds a reference that is not, and that shows in the pod's status.
func credentialsVolume(c contract.Config) corev1.Volume {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for _, cred := range c.Credentials {
		if !isMounted(cred) {
			continue
		}
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: cred.SecretName},
			Items:                []corev1.KeyToPath{{Key: cred.SecretKey, Path: path.Join(cred.Provider, contract.APIKeyFile)}},
			Optional:             new(true),
		}})
	}
	return corev1.Volume{Name: volumeCredentials, VolumeSource: corev1.VolumeSource{Projected: projected}}
}

// tokenSeconds is how long a pod's token for the gateway is valid: the least that the API server grants.
const tokenSeconds = 600

// gatewayVolume holds the token by which the pod proves to the gateway which pod it is. It is good for nothing else.
func gatewayVolume() corev1.Volume {
	return corev1.Volume{Name: volumeGateway, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o440)),
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: v1alpha1.TokenAudience, ExpirationSeconds: new(int64(tokenSeconds)), Path: contract.GatewayTokenFile,
		}}},
	}}}
}

func scratch(name, size string) corev1.Volume {
	return emptyDir(name, size, corev1.StorageMediumDefault)
}

func memory(name, size string) corev1.Volume {
	return emptyDir(name, size, corev1.StorageMediumMemory)
}

func emptyDir(name, size string, medium corev1.StorageMedium) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		Medium: medium, SizeLimit: new(resource.MustParse(size)),
	}}}
}
