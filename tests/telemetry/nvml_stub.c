/* A libnvidia-ml.so.1 of no driver: what the tests compile to run the agent's real ctypes path.
 *
 * The file named by NVML_STUB_STATE is read anew at every call. Its lines are `key value`, the first that fits counts:
 *   count N                        how many GPUs (1)
 *   resident N                     bytes that the library takes once it is asked the first time (next to none)
 *   rc.FUNCTION N                  what that function returns on every GPU, or on none (init, driver version)
 *   gpuI.rc.FUNCTION N             what it returns on GPU I; gpuI.rc N: what all functions that take GPU I return
 *   hang.FUNCTION 1                it does not return while the line is there
 *   gpuI.util|mem_util|power|energy|memory|processes|mig|reasons N
 *   gpuI.pid N                     the PID of its first process (4000); the others follow
 *   gpuI.processJ.gi N             the GPU instance that its J-th process is on (none)
 *   gpuI.held N                    bytes that each of its processes holds (a driver that does not say)
 *   gpuI.samples N                 how many utilization samples lie in the buffer, 100 ms apart, ending at gpuI.now_us
 *   gpuI.sample N                  the value of each (gpuI.util)
 *   gpuI.busy_samples N            only so many of them, the others 0 (all)
 *   gpuI.gpm 1                     it is a Hopper: GPM is there; gpuI.gpm_ms|gpm_sm|gpm_tensor|gpm_dram N: a clock in ms, and
 *                                  in how many of them each has worked; gpuI.giJ.gpm_...: the same of GPU instance J
 *   gpuI.sliceK GI SLICES SMS MIB  the K-th MIG device: its GPU instance, how many slices, SMs and MiB that is
 *   gpuI.giJ.memory N              bytes of instance J that are in use; gpuI.rc.slice_memory N: what that call returns
 *   gpuI.ecc|rows|rows_pending|rows_failed N
 *   xid N GPU CODE                 the N-th event of the host is this XID of this GPU
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef struct { int index, slice; } device_t; /* slice: the K of a MIG device + 1, or 0 for the GPU */
static device_t devices[64], mig_devices[64][8];
static long long xid_seen;

static int look_up(const char *key, char *value, size_t size) {
    const char *path = getenv("NVML_STUB_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int found = 0;
    size_t length = strlen(key);
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static long long number(const char *key, long long otherwise) {
    char value[256];
    return look_up(key, value, sizeof value) ? atoll(value) : otherwise;
}

static long long of_gpu(const device_t *device, const char *name, long long otherwise) {
    char key[256];
    snprintf(key, sizeof key, "gpu%d.%s", device->index, name);
    return number(key, otherwise);
}

static int begin(const char *function, const device_t *device) {
    char key[256];
    long long rc;
    snprintf(key, sizeof key, "hang.%s", function);
    while (number(key, 0)) usleep(10000);
    snprintf(key, sizeof key, "rc.%s", function);
    rc = number(key, 0);
    if (rc == 0 && device) rc = of_gpu(device, key, of_gpu(device, "rc", 0));
    return (int)rc;
}

#define BEGIN(device) do { int rc_ = begin(__func__, device); if (rc_) return rc_; } while (0)

int nvmlInitWithFlags(unsigned flags) {
    static char *taken;
    (void)flags;
    BEGIN(NULL);
    if (!taken && number("resident", 0) > 0 && (taken = malloc((size_t)number("resident", 0))))
        memset(taken, 1, (size_t)number("resident", 0));
    return 0;
}
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stub"; }

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    BEGIN(NULL);
    if (!look_up("driver_version", version, size)) snprintf(version, size, "615.71.05");
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count) { BEGIN(NULL); *count = (unsigned)number("count", 1); return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **device) {
    devices[index].index = (int)index;
    BEGIN(&devices[index]);
    *device = &devices[index];
    return 0;
}

int nvmlDeviceGetUUID(device_t *device, char *uuid, unsigned size) {
    BEGIN(device);
    if (device->slice) return snprintf(uuid, size, "MIG-00000000-0000-0000-%04d-%012d", device->slice - 1, device->index), 0;
    snprintf(uuid, size, "GPU-00000000-0000-0000-0000-%012d", device->index);
    return 0;
}

int nvmlDeviceGetName(device_t *device, char *name, unsigned size) {
    BEGIN(device);
    snprintf(name, size, "NVIDIA H100 80GB HBM3");
    return 0;
}

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;

int nvmlDeviceGetPciInfo_v3(device_t *device, pci_info_t *info) {
    BEGIN(device);
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", device->index + 1);
    return 0;
}

int nvmlDeviceGetUtilizationRates(device_t *device, unsigned *rates) {
    BEGIN(device);
    rates[0] = (unsigned)of_gpu(device, "util", 0);
    rates[1] = (unsigned)of_gpu(device, "mem_util", 0);
    return 0;
}

typedef struct { u64 at_us; union { double as_double; unsigned as_unsigned; u64 as_u64; } value; } sample_t;

int nvmlDeviceGetSamples(device_t *device, int kind, u64 last_us, int *type, unsigned *count, sample_t *samples) {
    long long held = of_gpu(device, "samples", 0), now_us = of_gpu(device, "now_us", 0);
    long long value = of_gpu(device, "sample", of_gpu(device, "util", 0)), i;
    long long busy = of_gpu(device, "busy_samples", held);
    unsigned found = 0;
    (void)kind;
    BEGIN(device);
    *type = 1;
    for (i = 0; i < held; i++) {
        u64 at_us = (u64)(now_us - (held - 1 - i) * 100000);
        if (at_us <= last_us) continue;
        if (samples && found < *count) {
            samples[found].at_us = at_us;
            samples[found].value.as_unsigned = (unsigned)(i < busy ? value : 0);
        }
        found++;
    }
    if (!samples || found < *count) *count = found;
    return *count ? 0 : 6;
}

typedef struct { unsigned version; u64 total, reserved, free, used; } memory_t;

static int mig_device(const device_t *device, long long found[4]);

int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory_t *memory) {
    long long found[4];
    char key[32];
    BEGIN(device);
    if (device->slice) {
        if (!mig_device(device, found)) return 6;
        snprintf(key, sizeof key, "gi%lld.memory", found[0]);
        memset(memory, 0, sizeof *memory);
        memory->used = (u64)of_gpu(device, key, 0);
        return (int)of_gpu(device, "rc.slice_memory", 0);
    }
    memory->total = 85520809984ULL;
    memory->reserved = 536870912ULL;
    memory->used = (u64)of_gpu(device, "memory", 0);
    memory->free = memory->total - memory->reserved - memory->used;
    return 0;
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned *milliwatts) {
    BEGIN(device);
    *milliwatts = (unsigned)of_gpu(device, "power", 70000);
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(device_t *device, u64 *millijoules) {
    BEGIN(device);
    *millijoules = (u64)of_gpu(device, "energy", 1000);
    return 0;
}

int nvmlDeviceGetMigMode(device_t *device, unsigned *current, unsigned *pending) {
    long long mode = of_gpu(device, "mig", -1);
    BEGIN(device);
    if (mode < 0) return 3;
    *current = *pending = (unsigned)mode;
    return 0;
}

static int mig_device(const device_t *device, long long found[4]) {
    char key[64], value[256];
    snprintf(key, sizeof key, "gpu%d.slice%d", device->index, device->slice - 1);
    return look_up(key, value, sizeof value)
        && sscanf(value, "%lld %lld %lld %lld", found, found + 1, found + 2, found + 3) == 4;
}

int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned *count) { BEGIN(device); *count = 7; return 0; }

int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned index, device_t **slice) {
    long long found[4];
    BEGIN(device);
    *slice = &mig_devices[device->index][index];
    **slice = (device_t){device->index, (int)index + 1};
    return mig_device(*slice, found) ? 0 : 6;
}

int nvmlDeviceGetGpuInstanceId(device_t *slice, unsigned *number) {
    long long found[4];
    BEGIN(slice);
    if (!mig_device(slice, found)) return 6;
    *number = (unsigned)found[0];
    return 0;
}

typedef struct { unsigned sms, copies, decoders, encoders, jpegs, ofas, slices, compute_slices; u64 memory_mib; } attributes_t;

int nvmlDeviceGetAttributes_v2(device_t *slice, attributes_t *attributes) {
    long long found[4];
    BEGIN(slice);
    if (!mig_device(slice, found)) return 6;
    memset(attributes, 0, sizeof *attributes);
    attributes->slices = attributes->compute_slices = (unsigned)found[1];
    attributes->sms = (unsigned)found[2];
    attributes->memory_mib = (u64)found[3];
    return 0;
}

int nvmlDeviceGetVbiosVersion(device_t *device, char *version, unsigned size) {
    BEGIN(device);
    snprintf(version, size, "96.00.74.00.01");
    return 0;
}

int nvmlDeviceGetTotalEccErrors(device_t *device, int kind, int counter, u64 *count) {
    long long errors = of_gpu(device, "ecc", -1);
    (void)kind, (void)counter;
    BEGIN(device);
    if (errors < 0) return 3;
    *count = (u64)errors;
    return 0;
}

int nvmlDeviceGetRemappedRows(device_t *device, unsigned *corr, unsigned *unc, unsigned *pending, unsigned *failed) {
    long long rows = of_gpu(device, "rows", -1);
    BEGIN(device);
    if (rows < 0) return 3;
    *corr = 0;
    *unc = (unsigned)rows;
    *pending = (unsigned)of_gpu(device, "rows_pending", 0);
    *failed = (unsigned)of_gpu(device, "rows_failed", 0);
    return 0;
}

static int xid(long long found[3]) {
    char value[256];
    return look_up("xid", value, sizeof value) && sscanf(value, "%lld %lld %lld", found, found + 1, found + 2) == 3;
}

int nvmlEventSetCreate(void **set) {
    long long found[3];
    BEGIN(NULL);
    *set = &xid_seen;
    xid_seen = xid(found) ? found[0] : 0;
    return 0;
}

int nvmlDeviceRegisterEvents(device_t *device, u64 types, void *set) { (void)types, (void)set; BEGIN(device); return 0; }

typedef struct { device_t *device; u64 type, data; unsigned gpu_instance, compute_instance; } event_t;

int nvmlEventSetWait_v2(void *set, event_t *event, unsigned milliseconds) {
    long long found[3];
    (void)set, (void)milliseconds;
    BEGIN(NULL);
    if (!xid(found) || found[0] <= xid_seen) return 10;
    xid_seen++;
    event->device = &devices[found[1]];
    event->type = 8;
    event->data = (u64)found[2];
    return 0;
}

/* GPM: a sample keeps the counters of its moment; a metric is what they moved by between two of them. */
typedef struct { long long counted[4]; int instance; } gpm_t;
typedef struct { unsigned version, is_supported; } gpm_support_t;
typedef struct { unsigned id; int rc; double value; char *name, *unit_short, *unit; } gpm_metric_t;
typedef struct { unsigned version, count; gpm_t *one, *two; gpm_metric_t metrics[]; } gpm_get_t;

int nvmlGpmQueryDeviceSupport(device_t *device, gpm_support_t *support) {
    BEGIN(device);
    support->is_supported = (unsigned)of_gpu(device, "gpm", 0);
    return 0;
}

int nvmlGpmSampleAlloc(gpm_t **sample) { BEGIN(NULL); *sample = calloc(1, sizeof **sample); return 0; }

static int gpm_take(const device_t *device, const char *prefix, int instance, gpm_t *sample) {
    static const char *names[4] = {"gpm_ms", "gpm_sm", "gpm_tensor", "gpm_dram"};
    char key[64];
    int i;
    for (i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, names[i]);
        sample->counted[i] = of_gpu(device, key, 0);
    }
    sample->instance = instance;
    return 0;
}

int nvmlGpmSampleGet(device_t *device, gpm_t *sample) {
    BEGIN(device); /* also in MIG, of which some drivers say 0 */
    return gpm_take(device, "", -1, sample);
}

int nvmlGpmMigSampleGet(device_t *device, unsigned instance, gpm_t *sample) {
    char prefix[32];
    BEGIN(device);
    snprintf(prefix, sizeof prefix, "gi%u.", instance);
    return gpm_take(device, prefix, (int)instance, sample);
}

int nvmlGpmMetricsGet(gpm_get_t *get) {
    unsigned i;
    BEGIN(NULL);
    if (get->one->instance != get->two->instance || get->two->counted[0] <= get->one->counted[0]) return 2;
    for (i = 0; i < get->count; i++) {
        int place = get->metrics[i].id == 2 ? 1 : get->metrics[i].id == 5 ? 2 : get->metrics[i].id == 10 ? 3 : 0;
        get->metrics[i].rc = place ? 0 : 3;
        get->metrics[i].value = 100.0 * (double)(get->two->counted[place] - get->one->counted[place])
            / (double)(get->two->counted[0] - get->one->counted[0]);
    }
    return 0;
}

typedef struct { unsigned pid; u64 used_bytes; unsigned gpu_instance, compute_instance; } process_t;

int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned *count, process_t *processes) {
    unsigned running = (unsigned)of_gpu(device, "processes", 0), i;
    char key[32];
    BEGIN(device);
    if (running && !processes) { *count = running; return 7; }
    for (i = 0; i < running && i < *count; i++) {
        memset(&processes[i], 0, sizeof processes[i]);
        processes[i].pid = (unsigned)of_gpu(device, "pid", 4000) + i;
        processes[i].used_bytes = (u64)of_gpu(device, "held", -1);
        snprintf(key, sizeof key, "process%u.gi", i);
        processes[i].gpu_instance = (unsigned)of_gpu(device, key, 0xFFFFFFFFLL);
        processes[i].compute_instance = processes[i].gpu_instance == 0xFFFFFFFFU ? 0xFFFFFFFFU : 0;
    }
    *count = running;
    return 0;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetCurrentClocksEventReasons(device_t *device, u64 *reasons) {
    BEGIN(device);
    *reasons = (u64)of_gpu(device, "reasons", 1);
    return 0;
}
#endif

int nvmlDeviceGetCurrentClocksThrottleReasons(device_t *device, u64 *reasons) {
    BEGIN(device);
    *reasons = (u64)of_gpu(device, "reasons", 1) | 0x1000;
    return 0;
}
