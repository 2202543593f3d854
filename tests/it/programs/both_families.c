/* LD_PRELOAD library: resolves one host name to an IPv4 and an IPv6 loopback address. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

static struct sockaddr_in v4 = {.sin_family = AF_INET};
static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
static struct addrinfo second = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof v6};
static struct addrinfo first = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof v4};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "both-families.test"))
        return next(node, service, hints, found);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    first.ai_addr = (struct sockaddr *)&v4;
    first.ai_next = &second;
    second.ai_addr = (struct sockaddr *)&v6;
    *found = &first;
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    void (*next)(struct addrinfo *) = dlsym(RTLD_NEXT, "freeaddrinfo");
    if (found != &first)
        next(found);
}
