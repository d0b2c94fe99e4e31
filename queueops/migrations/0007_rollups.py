from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0006_causes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "span",
                    models.PositiveIntegerField(
                        help_text="How many minutes it stands for: 1, or one of the coarser steps."
                    ),
                ),
                ("minute", models.BigIntegerField(help_text="The first of them, in minutes since 1970.")),
                (
                    "minutes",
                    models.PositiveIntegerField(default=1, help_text="Of how many of them anything is known."),
                ),
                ("counts", models.JSONField(default=dict)),
                (
                    "state",
                    models.JSONField(default=dict, help_text="Numbers of that instant; in coarser rows the worst."),
                ),
                (
                    "met",
                    models.PositiveIntegerField(
                        default=0, help_text="Events that were answered within the objective."
                    ),
                ),
                (
                    "missed",
                    models.PositiveIntegerField(default=0, help_text="Those answered later, and those given up."),
                ),
                ("unexplained", models.BigIntegerField(help_text="Empty: not known at that time.", null=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AddConstraint(
            model_name="rollup",
            constraint=models.UniqueConstraint(fields=("span", "minute"), name="rollup_once"),
        ),
    ]
