# What runbooks need in the project $project, made from the code's own lists. Review it; somebody who may change IAM runs it:
#   runbook doctor --env $environment --roles > roles.sh && TEAM=group:data-team@example.com sh roles.sh
# After an update of the runbooks, only the first part: the same files, with `gcloud iam roles update` in place of `create`.
set -eu
: "$${TEAM:?set TEAM to the people who run runbooks, such as group:data-team@example.com}"

# --- two roles
cat > runbook-reader.yaml <<'END'
title: Runbook reader
description: Everything that runbooks read.
stage: GA
includedPermissions:
$reads
END
cat > runbook-applier.yaml <<'END'
title: Runbook applier
description: Everything that approved runbooks change. Applying also needs the role of the reader.
stage: GA
includedPermissions:
$writes
END
gcloud iam roles create runbookReader --project=$project --file=runbook-reader.yaml --quiet
gcloud iam roles create runbookApplier --project=$project --file=runbook-applier.yaml --quiet

# --- two service accounts with these roles. A new account may need a minute before it can be bound.
gcloud services enable iamcredentials.googleapis.com --project=$project
gcloud iam service-accounts create $reader --project=$reader_project --display-name="Runbooks: read"
gcloud iam service-accounts create $applier --project=$applier_project --display-name="Runbooks: apply"
gcloud projects add-iam-policy-binding $project --member=serviceAccount:$read_as --role=projects/$project/roles/runbookReader --condition=None
gcloud projects add-iam-policy-binding $project --member=serviceAccount:$apply_as --role=projects/$project/roles/runbookReader --condition=None
gcloud projects add-iam-policy-binding $project --member=serviceAccount:$apply_as --role=projects/$project/roles/runbookApplier --condition=None

# --- the team may use both, with tokens that last an hour
gcloud iam service-accounts add-iam-policy-binding $read_as --project=$reader_project --member="$$TEAM" --role=roles/iam.serviceAccountTokenCreator
gcloud iam service-accounts add-iam-policy-binding $apply_as --project=$applier_project --member="$$TEAM" --role=roles/iam.serviceAccountTokenCreator

# --- a deployment runs code as the functions' own service accounts, which the applier must be allowed to use
for account in $$(gcloud functions list --v2 --project=$project --format="value(serviceConfig.serviceAccountEmail)" | sort -u); do
  gcloud iam service-accounts add-iam-policy-binding "$$account" --project=$project --member=serviceAccount:$apply_as --role=roles/iam.serviceAccountUser
done

# Then, in the params of $environment:
#   read_as: $read_as
#   apply_as: $apply_as
