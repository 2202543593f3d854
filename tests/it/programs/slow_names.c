/* LD_PRELOAD library: name resolution never returns. */
#include <unistd.h>

struct addrinfo;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)node, (void)service, (void)hints, (void)found;
    for (;;)
        pause();
}
