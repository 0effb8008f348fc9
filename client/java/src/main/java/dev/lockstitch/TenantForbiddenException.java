package dev.lockstitch;

/** The caller may not act for this tenant, or has to name one of its tenants. */
public class TenantForbiddenException extends PermissionDeniedException {
  TenantForbiddenException(ErrorDetails details) {
    super(details);
  }
}
