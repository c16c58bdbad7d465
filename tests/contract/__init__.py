"""The contract of ``convex/convexMsgs.ts``, held against every backend that claims to keep it."""
