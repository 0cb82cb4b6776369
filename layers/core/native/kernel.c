/* The SHAP kernel. This placeholder says only that it can be built and loaded. */

__attribute__((visibility("default"))) int quicksilver_kernel_version(void);

int quicksilver_kernel_version(void) {
    return 0;
}
